build-mutants/switch.o: ../../watchdog/core/switch.c mutation.h \
 ../../watchdog/core/switch.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/choose.h \
 ../../watchdog/core/decide.h ../../watchdog/core/diagnose.h \
 ../../watchdog/core/learn.h ../../watchdog/core/order.h \
 ../../watchdog/core/recruit.h
mutation.h:
../../watchdog/core/switch.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/choose.h:
../../watchdog/core/decide.h:
../../watchdog/core/diagnose.h:
../../watchdog/core/learn.h:
../../watchdog/core/order.h:
../../watchdog/core/recruit.h:
