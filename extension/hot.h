/*
 * hot.h
 *	  What every writing transaction passes, kept together.
 *
 * The instructions of an open gate are few.  What costs is that between two
 * transactions the server itself has pushed our lines out of the processor's first
 * cache: each one that is touched again has to come from the second.  So functions on
 * that way are pg_attribute_hot, which the linker puts side by side, and so are their
 * variables, which stay in the file that they belong to.  "scripts/bench gate"
 * shows what it is worth.
 */
#ifndef RG_HOT_H
#define RG_HOT_H

/* A variable of this process on that way.  The linker gathers a section of this name from all files. */
#define RG_HOT_DATA __attribute__((section("rg_hot")))

/* A symbol that no other library sees: reached without a table of addresses. */
#define RG_HOT_SHARED __attribute__((visibility("hidden")))

#endif							/* RG_HOT_H */
