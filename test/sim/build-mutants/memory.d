build-mutants/memory.o: ../../watchdog/core/memory.c mutation.h \
 ../../watchdog/core/memory.h ../../watchdog/core/view.h \
 ../../extension/rules.h ../../watchdog/core/names.h
mutation.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
