build-mutants/view.o: ../../watchdog/core/view.c mutation.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h
mutation.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
