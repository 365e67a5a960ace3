build-mutants/learn.o: ../../watchdog/core/learn.c mutation.h \
 ../../watchdog/core/learn.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/choose.h \
 ../../watchdog/core/lease.h ../../watchdog/core/phase.h
mutation.h:
../../watchdog/core/learn.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/choose.h:
../../watchdog/core/lease.h:
../../watchdog/core/phase.h:
