build-mutants/order.o: ../../watchdog/core/order.c mutation.h \
 ../../watchdog/core/order.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/choose.h \
 ../../watchdog/core/diagnose.h ../../watchdog/core/job.h \
 ../../watchdog/core/phase.h
mutation.h:
../../watchdog/core/order.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/choose.h:
../../watchdog/core/diagnose.h:
../../watchdog/core/job.h:
../../watchdog/core/phase.h:
