/*
 * http.h
 *	  Small HTTP server on libevent's evhttp: the control socket (a Unix
 *	  socket, mode 0660) and the optional TCP address for load balancers.
 *
 * Routes are a table given by the caller; answers come from memory.  Limits:
 * body 64 kB, headers 16 kB, 10 s per request.
 */
#ifndef RG_HTTP_H
#define RG_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include "../base/err.h"

struct event_base;

typedef struct RgHttp RgHttp;

typedef struct RgHttpRequest
{
	const char *method;			/* "GET", "POST" */
	const char *path;			/* decoded, without the query */
	const char *rest;			/* what followed a route that ends in '/' */
	const json_t *query;		/* object of strings */
	const json_t *body;			/* NULL where there was none */
} RgHttpRequest;

typedef struct RgHttpReply
{
	int			status;			/* 200 … */
	json_t	   *json;			/* owned by the server after the call; or */
	char	   *text;			/* malloc'd text/plain; freed by the server */
} RgHttpReply;

typedef void (*RgHttpFn) (void *arg, const RgHttpRequest *req, RgHttpReply *reply);

typedef struct RgHttpRoute
{
	const char *method;
	const char *path;			/* exact, or a prefix when it ends in '/' */
	RgHttpFn	fn;
} RgHttpRoute;

/* routes end with a NULL method and must outlive the server. */
extern int	rg_http_listen_unix(struct event_base *base, const char *socket_path,
								const RgHttpRoute *routes, void *arg, RgHttp **ret_http, RgError *err);

/* address is "127.0.0.1:8008" or "[::1]:8008". */
extern int	rg_http_listen_tcp(struct event_base *base, const char *address,
							   const RgHttpRoute *routes, void *arg, RgHttp **ret_http, RgError *err);
extern void rg_http_free(RgHttp *http);

#endif							/* RG_HTTP_H */
