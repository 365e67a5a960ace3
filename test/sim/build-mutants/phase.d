build-mutants/phase.o: ../../watchdog/core/phase.c mutation.h \
 ../../watchdog/core/phase.h ../../watchdog/core/names.h
mutation.h:
../../watchdog/core/phase.h:
../../watchdog/core/names.h:
