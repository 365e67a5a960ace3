/*
 * resolve.c
 *	  A cache of names in front of evdns.
 *
 * rg_resolver_get() answers from memory and never waits.  What is older than
 * REFRESH_MS is asked for again in the background; a failed look-up changes
 * nothing: an address that worked a minute ago is the better guess when a
 * resolver is down (F39).  Where a name has IPv4 and IPv6 addresses the first
 * IPv4 one is taken; who wants another writes the address.
 *
 * /etc/hosts and /etc/resolv.conf are read again when they have changed, so
 * no restart is needed after an edit.
 */
#include "resolve.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../base/clock.h"

#define NAMES_MAX 4096
#define REFRESH_MS 30000
#define RETRY_MS 2000			/* after a failed look-up of a name without address */

typedef struct Name
{
	struct Name *next;
	RgResolver *resolver;		/* NULL: gone, free yourself */
	char		host[256];
	char		address[64];	/* "" = none known */
	int64_t		asked_at;
	bool		is_failed;		/* the last look-up */
	bool		is_asking;
} Name;

struct RgResolver
{
	struct event_base *base;
	struct evdns_base *dns;
	Name	   *names;
	int			nnames;
	struct timespec hosts_mtime;
	struct timespec resolv_mtime;
};

static bool
has_changed(const char *file, struct timespec *mtime)
{
	struct stat st;

	if (stat(file, &st) != 0 ||
		(st.st_mtim.tv_sec == mtime->tv_sec && st.st_mtim.tv_nsec == mtime->tv_nsec))
		return false;
	*mtime = st.st_mtim;
	return true;
}

/* Reads the system's files if they are new. */
static void
read_system_files(RgResolver *r)
{
	if (has_changed("/etc/hosts", &r->hosts_mtime))
	{
		evdns_base_clear_host_addresses(r->dns);
		(void) evdns_base_load_hosts(r->dns, "/etc/hosts");
	}
	if (has_changed("/etc/resolv.conf", &r->resolv_mtime))
	{
		(void) evdns_base_clear_nameservers_and_suspend(r->dns);
		(void) evdns_base_resolv_conf_parse(r->dns, DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC,
											"/etc/resolv.conf");
		(void) evdns_base_resume(r->dns);
	}
}

RgResolver *
rg_resolver_new(struct event_base *base)
{
	RgResolver *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->base = base;
	r->dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (r->dns == NULL)
	{
		free(r);
		return NULL;
	}
	(void) evdns_base_set_option(r->dns, "timeout:", "2");
	(void) evdns_base_set_option(r->dns, "attempts:", "2");
	(void) evdns_base_set_option(r->dns, "randomize-case:", "0");
	read_system_files(r);
	return r;
}

void
rg_resolver_free(RgResolver *r)
{
	if (r == NULL)
		return;

	/*
	 * Answers that are under way come from the loop, later: such a name frees itself then.
	 * (evdns_getaddrinfo_cancel() would make them look at the freed evdns_base.)
	 */
	while (r->names != NULL)
	{
		Name	   *n = r->names;

		r->names = n->next;
		n->resolver = NULL;
		if (!n->is_asking)
			free(n);
	}
	evdns_base_free(r->dns, 1);
	free(r);
}

static void
on_answer(int result, struct evutil_addrinfo *list, void *arg)
{
	Name	   *n = arg;
	const struct evutil_addrinfo *best = NULL;

	n->is_asking = false;
	for (const struct evutil_addrinfo *ai = list; result == 0 && ai != NULL; ai = ai->ai_next)
		if ((ai->ai_family == AF_INET || ai->ai_family == AF_INET6) &&
			(best == NULL || (best->ai_family == AF_INET6 && ai->ai_family == AF_INET)))
			best = ai;
	n->is_failed = best == NULL;
	if (best != NULL && best->ai_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *) best->ai_addr)->sin_addr, n->address, sizeof(n->address));
	else if (best != NULL)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *) best->ai_addr)->sin6_addr, n->address, sizeof(n->address));
	if (list != NULL)
		evutil_freeaddrinfo(list);
	if (n->resolver == NULL)
		free(n);
}

static void
ask(RgResolver *r, Name *n)
{
	struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

	read_system_files(r);
	n->asked_at = rg_clock_now_ms();
	n->is_asking = true;

	/* calls back in any case, and before it returns where /etc/hosts has the name */
	(void) evdns_getaddrinfo(r->dns, n->host, NULL, &hints, on_answer, n);
}

static Name *
find(RgResolver *r, const char *host)
{
	Name	   *n;

	for (n = r->names; n != NULL; n = n->next)
		if (strcmp(n->host, host) == 0)
			return n;
	if (r->nnames >= NAMES_MAX || strlen(host) >= sizeof(n->host) || (n = calloc(1, sizeof(*n))) == NULL)
		return NULL;
	strcpy(n->host, host);
	n->resolver = r;
	n->next = r->names;
	r->names = n;
	r->nnames++;
	return n;
}

bool
rg_resolver_get(RgResolver *r, const char *host, char *buf, size_t size)
{
	unsigned char numeric[sizeof(struct in6_addr)];
	Name	   *n;
	int64_t		age;

	if (host[0] == '/')
	{
		snprintf(buf, size, "%s", "");
		return true;
	}
	if (inet_pton(AF_INET, host, numeric) == 1 || inet_pton(AF_INET6, host, numeric) == 1)
	{
		snprintf(buf, size, "%s", host);
		return true;
	}
	n = find(r, host);
	if (n == NULL)
		return false;
	age = rg_clock_now_ms() - n->asked_at;
	if (!n->is_asking && (n->asked_at == 0 || age >= REFRESH_MS || (n->is_failed && age >= RETRY_MS)))
		ask(r, n);
	if (n->address[0] == '\0')
		return false;
	snprintf(buf, size, "%s", n->address);
	return true;
}
