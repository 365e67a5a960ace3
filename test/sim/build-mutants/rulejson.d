build-mutants/rulejson.o: ../../extension/rulejson.c mutation.h \
 ../../extension/rulejson.h
mutation.h:
../../extension/rulejson.h:
