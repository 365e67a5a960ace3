build-mutants/recruit.o: ../../watchdog/core/recruit.c mutation.h \
 ../../watchdog/core/recruit.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/choose.h \
 ../../watchdog/core/lease.h
mutation.h:
../../watchdog/core/recruit.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/choose.h:
../../watchdog/core/lease.h:
