build-mutants/statefile.o: ../../extension/statefile.c mutation.h \
 ../../extension/statefile.h ../../extension/rulejson.h \
 ../../extension/rules.h
mutation.h:
../../extension/statefile.h:
../../extension/rulejson.h:
../../extension/rules.h:
