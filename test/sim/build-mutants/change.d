build-mutants/change.o: ../../watchdog/core/change.c mutation.h \
 ../../watchdog/core/change.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h
mutation.h:
../../watchdog/core/change.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
