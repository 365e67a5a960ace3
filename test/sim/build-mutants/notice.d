build-mutants/notice.o: ../../watchdog/core/notice.c mutation.h \
 ../../watchdog/core/notice.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/diagnose.h \
 ../../watchdog/core/learn.h ../../watchdog/core/notice_failover.h \
 ../../watchdog/core/plan.h ../../watchdog/core/switch.h
mutation.h:
../../watchdog/core/notice.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/diagnose.h:
../../watchdog/core/learn.h:
../../watchdog/core/notice_failover.h:
../../watchdog/core/plan.h:
../../watchdog/core/switch.h:
