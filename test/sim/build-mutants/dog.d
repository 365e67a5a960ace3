build-mutants/dog.o: dog.c mutation.h dog.h sim.h \
 ../../extension/mutant.h ../../extension/rules.h \
 ../../watchdog/core/decide.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../watchdog/core/names.h \
 ../../watchdog/core/job.h ../../watchdog/core/lease.h \
 ../../watchdog/core/order.h ../../watchdog/core/choose.h \
 ../../watchdog/core/phase.h
mutation.h:
dog.h:
sim.h:
../../extension/mutant.h:
../../extension/rules.h:
../../watchdog/core/decide.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../watchdog/core/names.h:
../../watchdog/core/job.h:
../../watchdog/core/lease.h:
../../watchdog/core/order.h:
../../watchdog/core/choose.h:
../../watchdog/core/phase.h:
