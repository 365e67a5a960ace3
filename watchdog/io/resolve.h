/*
 * resolve.h
 *	  Names to addresses, without ever blocking the loop.
 *
 * Numeric addresses and socket directories (an absolute path) are answered at
 * once.  Names are asked through evdns (which reads /etc/hosts too); the last
 * good address is kept and goes on being used when the resolver fails.
 */
#ifndef RG_RESOLVE_H
#define RG_RESOLVE_H

#include <stddef.h>

struct event_base;
typedef struct RgResolver RgResolver;

extern RgResolver *rg_resolver_new(struct event_base *base);
extern void rg_resolver_free(RgResolver *r);

/*
 * The numeric address known for host now into buf ("" for a socket directory)
 * and true, or false when none is known yet; starts or refreshes the look-up
 * where the answer is older than 30 s.
 */
extern _Bool rg_resolver_get(RgResolver *r, const char *host, char *buf, size_t size);

#endif							/* RG_RESOLVE_H */
