build-mutants/ready.o: ../../watchdog/core/ready.c mutation.h \
 ../../watchdog/core/ready.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/choose.h
mutation.h:
../../watchdog/core/ready.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/choose.h:
