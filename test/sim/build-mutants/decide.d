build-mutants/decide.o: ../../watchdog/core/decide.c mutation.h \
 ../../watchdog/core/decide.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/change.h \
 ../../watchdog/core/diagnose.h ../../watchdog/core/job.h \
 ../../watchdog/core/learn.h ../../watchdog/core/notice.h \
 ../../watchdog/core/phase.h ../../watchdog/core/plan.h \
 ../../watchdog/core/ready.h ../../watchdog/core/rejoin.h \
 ../../watchdog/core/switch.h
mutation.h:
../../watchdog/core/decide.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/change.h:
../../watchdog/core/diagnose.h:
../../watchdog/core/job.h:
../../watchdog/core/learn.h:
../../watchdog/core/notice.h:
../../watchdog/core/phase.h:
../../watchdog/core/plan.h:
../../watchdog/core/ready.h:
../../watchdog/core/rejoin.h:
../../watchdog/core/switch.h:
