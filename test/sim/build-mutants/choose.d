build-mutants/choose.o: ../../watchdog/core/choose.c mutation.h \
 ../../watchdog/core/choose.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/decide.h \
 ../../watchdog/core/recruit.h
mutation.h:
../../watchdog/core/choose.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/decide.h:
../../watchdog/core/recruit.h:
