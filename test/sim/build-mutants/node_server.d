build-mutants/node_server.o: node_server.c mutation.h node.h \
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
