build-mutants/notice_failover.o: ../../watchdog/core/notice_failover.c \
 mutation.h ../../watchdog/core/notice_failover.h \
 ../../watchdog/core/memory.h ../../watchdog/core/view.h \
 ../../extension/rules.h ../../watchdog/core/names.h \
 ../../watchdog/core/choose.h ../../watchdog/core/decide.h \
 ../../watchdog/core/diagnose.h ../../watchdog/core/order.h \
 ../../watchdog/core/plan.h ../../watchdog/core/recruit.h
mutation.h:
../../watchdog/core/notice_failover.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/choose.h:
../../watchdog/core/decide.h:
../../watchdog/core/diagnose.h:
../../watchdog/core/order.h:
../../watchdog/core/plan.h:
../../watchdog/core/recruit.h:
