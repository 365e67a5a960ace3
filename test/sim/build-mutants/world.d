build-mutants/world.o: world.c mutation.h sim.h ../../extension/mutant.h \
 ../../extension/rules.h
mutation.h:
sim.h:
../../extension/mutant.h:
../../extension/rules.h:
