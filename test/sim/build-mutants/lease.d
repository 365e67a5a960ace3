build-mutants/lease.o: ../../watchdog/core/lease.c mutation.h \
 ../../watchdog/core/lease.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/choose.h
mutation.h:
../../watchdog/core/lease.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/choose.h:
