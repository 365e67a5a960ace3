build-mutants/rules.o: ../../extension/rules.c mutation.h \
 ../../extension/rules.h ../../extension/mutant.h
mutation.h:
../../extension/rules.h:
../../extension/mutant.h:
