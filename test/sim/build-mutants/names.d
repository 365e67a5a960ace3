build-mutants/names.o: ../../watchdog/core/names.c mutation.h \
 ../../watchdog/core/names.h
mutation.h:
../../watchdog/core/names.h:
