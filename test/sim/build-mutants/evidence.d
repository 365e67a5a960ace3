build-mutants/evidence.o: ../../watchdog/core/evidence.c mutation.h \
 ../../watchdog/core/evidence.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h
mutation.h:
../../watchdog/core/evidence.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
