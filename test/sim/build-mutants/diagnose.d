build-mutants/diagnose.o: ../../watchdog/core/diagnose.c mutation.h \
 ../../watchdog/core/diagnose.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/choose.h \
 ../../watchdog/core/evidence.h ../../watchdog/core/learn.h \
 ../../watchdog/core/lease.h
mutation.h:
../../watchdog/core/diagnose.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/choose.h:
../../watchdog/core/evidence.h:
../../watchdog/core/learn.h:
../../watchdog/core/lease.h:
