build-mutants/plan.o: ../../watchdog/core/plan.c mutation.h \
 ../../watchdog/core/plan.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/choose.h \
 ../../watchdog/core/decide.h ../../watchdog/core/recruit.h \
 ../../watchdog/core/switch.h
mutation.h:
../../watchdog/core/plan.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/choose.h:
../../watchdog/core/decide.h:
../../watchdog/core/recruit.h:
../../watchdog/core/switch.h:
