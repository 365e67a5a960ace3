build-mutants/rejoin.o: ../../watchdog/core/rejoin.c mutation.h \
 ../../watchdog/core/rejoin.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/choose.h \
 ../../watchdog/core/job.h ../../watchdog/core/learn.h \
 ../../watchdog/core/phase.h ../../watchdog/core/plan.h
mutation.h:
../../watchdog/core/rejoin.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/choose.h:
../../watchdog/core/job.h:
../../watchdog/core/learn.h:
../../watchdog/core/phase.h:
../../watchdog/core/plan.h:
