build-mutants/job.o: ../../watchdog/core/job.c mutation.h \
 ../../watchdog/core/job.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h
mutation.h:
../../watchdog/core/job.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
