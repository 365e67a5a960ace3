/*
 * http_socket.h
 *	  Sockets that listen, for http.c.
 */
#ifndef RG_HTTP_SOCKET_H
#define RG_HTTP_SOCKET_H

#include "../base/err.h"

/* Mode 0660; a stale socket is replaced, one that is in use (RGE_STATE) or another file is not. */
extern int	rg_http_socket_unix(const char *path, int *ret_fd, RgError *err);

/* "127.0.0.1:8008" or "[::1]:8008"; no names, since nothing may be looked up. */
extern int	rg_http_socket_tcp(const char *address, int *ret_fd, RgError *err);

#endif							/* RG_HTTP_SOCKET_H */
