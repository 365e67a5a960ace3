/*
 * http.c
 *	  evhttp, a table of routes, JSON in and out.
 *
 * Handlers answer from memory, at once.  Errors are JSON as well: {"error": a
 * short message, "hint": what to do}.  When file descriptors run out accepting
 * pauses for a second; evhttp would try again and again, at full speed.
 */
#include "http.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http_socket.h"

#define BODY_MAX (64 * 1024)
#define HEADERS_MAX (16 * 1024)
#define TIMEOUT_S 10

struct RgHttp
{
	struct evhttp *http;
	struct evconnlistener *listener;	/* owned by http */
	struct event *resume;
	const RgHttpRoute *routes;
	void	   *arg;
	char		socket_path[sizeof(((struct sockaddr_un *) 0)->sun_path)];	/* "" = TCP */
	dev_t		socket_dev;
	ino_t		socket_ino;
};

static json_t *
error_json(const char *error, const char *hint)
{
	return json_pack("{s:s, s:s}", "error", error, "hint", hint);
}

/* --- answers --- */

static void
send_reply(struct evhttp_request *req, RgHttpReply *reply)
{
	struct evbuffer *body = evbuffer_new();
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	char	   *text = reply->text;
	const char *type = "text/plain; charset=utf-8";

	if (reply->json != NULL)
	{
		free(text);
		text = json_dumps(reply->json, JSON_COMPACT | JSON_ENSURE_ASCII);
		type = "application/json";
		json_decref(reply->json);
		if (text == NULL)
			reply->status = HTTP_INTERNAL;
	}
	if (body == NULL)
	{
		free(text);
		evhttp_send_reply(req, HTTP_SERVUNAVAIL, NULL, NULL);
		return;
	}
	if (text != NULL)
		evbuffer_add_printf(body, "%s%s", text, reply->json != NULL ? "\n" : "");
	free(text);
	if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD)
	{
		/* evhttp would send the body of an answer that must not have one */
		char		len[32];

		snprintf(len, sizeof(len), "%zu", evbuffer_get_length(body));
		evhttp_add_header(headers, "Content-Length", len);
		evbuffer_drain(body, evbuffer_get_length(body));
	}
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_send_reply(req, reply->status != 0 ? reply->status : HTTP_INTERNAL, NULL, body);
	evbuffer_free(body);
}

static void
send_failure(struct evhttp_request *req, int status, const char *error, const char *hint)
{
	RgHttpReply reply = {.status = status, .json = error_json(error, hint)};

	send_reply(req, &reply);
}

/* --- requests --- */

static const char *
method_name(struct evhttp_request *req)
{
	switch (evhttp_request_get_command(req))
	{
		case EVHTTP_REQ_GET:
		case EVHTTP_REQ_HEAD:	/* the same without its body */
			return "GET";
		case EVHTTP_REQ_POST:
			return "POST";
		default:
			return "";
	}
}

/* Exact, or a prefix that ends in '/'; ret_rest is what followed it. */
static bool
matches(const RgHttpRoute *route, const char *path, const char **ret_rest)
{
	size_t		len = strlen(route->path);

	if (len > 1 && route->path[len - 1] == '/')
	{
		*ret_rest = path + len;
		return strncmp(path, route->path, len) == 0;
	}
	*ret_rest = "";
	return strcmp(path, route->path) == 0;
}

static json_t *
parse_query(const char *text)
{
	struct evkeyvalq list;
	json_t	   *query = json_object();

	if (query == NULL || text == NULL || text[0] == '\0')
		return query;
	if (evhttp_parse_query_str(text, &list) != 0)
	{
		json_decref(query);
		return NULL;
	}
	for (struct evkeyval *kv = list.tqh_first; kv != NULL; kv = kv->next.tqe_next)
		if (json_object_set_new(query, kv->key, json_string(kv->value)) != 0)
		{
			/* not UTF-8 */
			json_decref(query);
			query = NULL;
			break;
		}
	evhttp_clear_headers(&list);
	return query;
}

/* 0 and NULL where there is no body. */
static int
parse_body(struct evhttp_request *req, json_t **ret_body)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(req);
	size_t		len = evbuffer_get_length(input);
	unsigned char *data;

	*ret_body = NULL;
	if (len == 0)
		return 0;
	data = evbuffer_pullup(input, -1);
	if (data == NULL)
		return -1;
	*ret_body = json_loadb((const char *) data, len, JSON_REJECT_DUPLICATES, NULL);
	return *ret_body != NULL ? 0 : -1;
}

static void
call_route(RgHttp *http, struct evhttp_request *req, const RgHttpRoute *route, RgHttpRequest *request)
{
	const char *query_text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));
	json_t	   *query = parse_query(query_text);
	json_t	   *body = NULL;
	RgHttpReply reply = {0};

	if (query == NULL)
		send_failure(req, HTTP_BADREQUEST, "query can't be read", "Write it as ?name=value&name=value.");
	else if (parse_body(req, &body) != 0)
		send_failure(req, HTTP_BADREQUEST, "body is not JSON", "Send one JSON object, at most 64 kB.");
	else
	{
		request->query = query;
		request->body = body;
		route->fn(http->arg, request, &reply);
		if (reply.json == NULL && reply.text == NULL)
			send_failure(req, HTTP_INTERNAL, "the answer can't be written as JSON",
						 "This is a mistake in regentd, unless its host is out of memory: report it, with the log.");
		else
			send_reply(req, &reply);
	}
	json_decref(query);
	json_decref(body);
}

static void
on_request(struct evhttp_request *req, void *arg)
{
	RgHttp	   *http = arg;
	const char *raw = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	RgHttpRequest request = {.method = method_name(req)};
	size_t		len = 0;
	char	   *path = evhttp_uridecode(raw != NULL ? raw : "", 0, &len);
	bool		is_path_known = false;

	if (path == NULL || strlen(path) != len)
	{
		send_failure(req, HTTP_BADREQUEST, "path can't be read", "A path has no zero bytes.");
		free(path);
		return;
	}
	request.path = path;
	for (const RgHttpRoute *route = http->routes; route->method != NULL; route++)
	{
		if (!matches(route, path, &request.rest))
			continue;
		is_path_known = true;
		if (strcmp(route->method, request.method) == 0)
		{
			call_route(http, req, route, &request);
			free(path);
			return;
		}
	}
	if (is_path_known)
		send_failure(req, HTTP_BADMETHOD, "method is not allowed here", "Read with GET, change with POST.");
	else
		send_failure(req, HTTP_NOTFOUND, "there is nothing at this path", "GET /v1/status shows the cluster.");
	free(path);
}

/* --- listening --- */

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	RgHttp	   *http = arg;

	(void) fd;
	(void) what;
	evconnlistener_enable(http->listener);
}

static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	/* evhttp owns the listener's argument; ours is found through the resume event */
	(void) arg;
	evconnlistener_disable(listener);
}

static int
serve(struct event_base *base, int fd, RgHttp *http, RgError *err)
{
	http->http = evhttp_new(base);
	http->resume = event_new(base, -1, EV_PERSIST, on_resume, http);
	if (http->http == NULL || http->resume == NULL)
	{
		close(fd);
		return rg_error_set(err, RGE_NOMEM, "out of memory");
	}
	evhttp_set_max_body_size(http->http, BODY_MAX);
	evhttp_set_max_headers_size(http->http, HEADERS_MAX);
	evhttp_set_timeout(http->http, TIMEOUT_S);
	evhttp_set_allowed_methods(http->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
							   EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
	evhttp_set_gencb(http->http, on_request, http);

	http->listener = evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (http->listener == NULL || evhttp_bind_listener(http->http, http->listener) == NULL)
	{
		if (http->listener != NULL)
			evconnlistener_free(http->listener);
		else
			close(fd);
		http->listener = NULL;
		return rg_error_set(err, RGE_NOMEM, "out of memory");
	}
	evconnlistener_set_error_cb(http->listener, on_accept_error);
	event_add(http->resume, &(struct timeval) {.tv_sec = 1});
	return 0;
}

/* Serves on a socket that listens already; closes it on failure. */
static int
listen_on(struct event_base *base, int fd, const char *socket_path,
		  const RgHttpRoute *routes, void *arg, RgHttp **ret_http, RgError *err)
{
	struct stat st;
	RgHttp	   *http = calloc(1, sizeof(*http));
	int			rc;

	if (http == NULL)
	{
		close(fd);
		return rg_error_set(err, RGE_NOMEM, "out of memory");
	}
	http->routes = routes;
	http->arg = arg;
	if (socket_path != NULL && lstat(socket_path, &st) == 0)
	{
		snprintf(http->socket_path, sizeof(http->socket_path), "%s", socket_path);
		http->socket_dev = st.st_dev;
		http->socket_ino = st.st_ino;
	}
	rc = serve(base, fd, http, err);
	if (rc != 0)
		rg_http_free(http);
	else
		*ret_http = http;
	return rc;
}

int
rg_http_listen_unix(struct event_base *base, const char *socket_path,
					const RgHttpRoute *routes, void *arg, RgHttp **ret_http, RgError *err)
{
	int			fd;
	int			rc = rg_http_socket_unix(socket_path, &fd, err);

	return rc != 0 ? rc : listen_on(base, fd, socket_path, routes, arg, ret_http, err);
}

int
rg_http_listen_tcp(struct event_base *base, const char *address,
				   const RgHttpRoute *routes, void *arg, RgHttp **ret_http, RgError *err)
{
	int			fd;
	int			rc = rg_http_socket_tcp(address, &fd, err);

	return rc != 0 ? rc : listen_on(base, fd, NULL, routes, arg, ret_http, err);
}

void
rg_http_free(RgHttp *http)
{
	struct stat st;

	if (http == NULL)
		return;
	if (http->resume != NULL)
		event_free(http->resume);
	if (http->http != NULL)
		evhttp_free(http->http);

	/* only our own: somebody may have put another one there */
	if (http->socket_path[0] != '\0' && lstat(http->socket_path, &st) == 0 &&
		st.st_dev == http->socket_dev && st.st_ino == http->socket_ino)
		unlink(http->socket_path);
	free(http);
}
