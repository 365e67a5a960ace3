build-mutants/client.o: client.c mutation.h node.h \
 ../../extension/statefile.h ../../extension/rulejson.h \
 ../../extension/rules.h sim.h ../../extension/mutant.h \
 ../../extension/rules.h
mutation.h:
node.h:
../../extension/statefile.h:
../../extension/rulejson.h:
../../extension/rules.h:
sim.h:
../../extension/mutant.h:
../../extension/rules.h:
