/*
 * http_client.h
 *	  One request to regentd over its control socket.
 */
#ifndef RG_HTTP_CLIENT_H
#define RG_HTTP_CLIENT_H

#include <jansson.h>
#include "cli.h"

#define RG_CLIENT_DEADLINE_MS 5000

/*
 * method "GET" or "POST"; path with its query; body (borrowed) may be NULL.
 * Returns 0 and a JSON object (owned by the caller) for an answer of 200 to
 * 299.  RGE_IO and RGE_TIMEOUT: no regentd answers; RGE_TRUST: we may not use
 * the socket; RGE_REFUSED: regentd said no, with its reason and hint.
 */
extern int	rg_client_request(const RgConfig *config, const char *method, const char *path,
							  const json_t *body, int deadline_ms, json_t **ret_answer, RgError *err);

/* The same for commands: prints what went wrong and gives the exit code. */
extern RgExit rg_client_get(const RgCli *cli, const char *path, json_t **ret_answer);

/* And with a body, which it takes over. */
extern RgExit rg_client_post(const RgCli *cli, const char *path, json_t *body, json_t **ret_answer);

/* The exit code that belongs to a failed request; prints the error. */
extern RgExit rg_client_fail(const RgCli *cli, const RgError *err);

#endif							/* RG_HTTP_CLIENT_H */
