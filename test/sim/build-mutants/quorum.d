build-mutants/quorum.o: ../../watchdog/core/quorum.c mutation.h \
 ../../watchdog/core/explain.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/sheet.h
mutation.h:
../../watchdog/core/explain.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/sheet.h:
