build-mutants/explain.o: ../../watchdog/core/explain.c mutation.h \
 ../../watchdog/core/explain.h ../../watchdog/core/memory.h \
 ../../watchdog/core/view.h ../../extension/rules.h \
 ../../watchdog/core/names.h ../../watchdog/core/phase.h \
 ../../watchdog/core/sheet.h
mutation.h:
../../watchdog/core/explain.h:
../../watchdog/core/memory.h:
../../watchdog/core/view.h:
../../extension/rules.h:
../../watchdog/core/names.h:
../../watchdog/core/phase.h:
../../watchdog/core/sheet.h:
