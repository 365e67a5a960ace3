/*
 * t_http.c
 *	  watchdog/io/http.c: routes, limits, errors as JSON, and the socket file.
 *
 * The client is a plain socket that is read while the loop runs.
 */
#include "helpers.h"

#include <sys/un.h>

#include "io/http.h"

static struct event_base *base;
static char dir[256];
static char path[300];
static RgHttp *http;

static void
say_hello(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	(void) arg;
	reply->status = 200;
	reply->json = json_pack("{s:s, s:s, s:O, s:O}", "rest", req->rest, "path", req->path, "query", req->query,
							"body", req->body != NULL ? req->body : json_null());
}

static void
say_text(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	(void) req;
	reply->status = 503;
	reply->text = strdup(arg);
}

/* JSON of a text that is not UTF-8: there is none. */
static void
say_nothing(void *arg, const RgHttpRequest *req, RgHttpReply *reply)
{
	(void) arg;
	(void) req;
	reply->status = 200;
	reply->json = json_pack("{s:s}", "text", "f\xfcr");
}

static const RgHttpRoute routes[] = {
	{"GET", "/v1/status", say_hello},
	{"POST", "/v1/rebuild", say_hello},
	{"GET", "/node/", say_hello},
	{"GET", "/text", say_text},
	{"GET", "/nothing-made", say_nothing},
	{NULL, NULL, NULL}
};

static int
set_up(void **state)
{
	RgError		err;

	(void) state;
	base = make_base();
	make_directory(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/control.sock", dir);
	if (rg_http_listen_unix(base, path, routes, "a text\n", &http, &err) != 0)
		fail_msg("%s", err.message);
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	rg_http_free(http);
	event_base_free(base);
	remove_directory(dir);
	return 0;
}

static int
connect_unix(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int			fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(sa.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
	return fd;
}

/* Sends, and returns all that comes until the other side closes or says no more. */
static const char *
talk_on(int fd, const char *request, size_t len)
{
	static char answer[300000];
	size_t		n = 0;
	int			idle = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (idle < 20)
	{
		ssize_t		got;

		if (len > 0)
		{
			ssize_t		sent = send(fd, request, len, MSG_NOSIGNAL);

			if (sent > 0)
			{
				request += sent;
				len -= (size_t) sent;
				idle = 0;
			}
		}
		loop_for(base, 5);
		got = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);
		if (got == 0)
			break;
		if (got > 0)
		{
			n += (size_t) got;
			idle = 0;
		}
		else
			idle++;
	}
	close(fd);
	answer[n] = '\0';
	return answer;
}

static const char *
talk(const char *request)
{
	return talk_on(connect_unix(), request, strlen(request));
}

#define assert_contains(text, part) \
	do { if (strstr((text), (part)) == NULL) fail_msg("no \"%s\" in: %s", (part), (text)); } while (0)

static void
test_routes_and_their_rest(void **state)
{
	const char *a;

	(void) state;
	a = talk("GET /v1/status?after=5&x=a%20b HTTP/1.0\r\n\r\n");
	assert_contains(a, " 200 ");
	assert_contains(a, "Content-Type: application/json");
	assert_contains(a, "\r\n\r\n{\"rest\":\"\",\"path\":\"/v1/status\",\"query\":{\"after\":\"5\",\"x\":\"a b\"},\"body\":null}\n");
	a = talk("GET /node/n1/primary HTTP/1.0\r\n\r\n");
	assert_contains(a, "\"rest\":\"n1/primary\"");
	a = talk("GET /node/n%31 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_contains(a, "\"rest\":\"n1\"");
	a = talk("GET /text HTTP/1.0\r\n\r\n");
	assert_contains(a, " 503 ");
	assert_contains(a, "text/plain");
	assert_contains(a, "\r\n\r\na text\n");
	a = talk("HEAD /v1/status HTTP/1.0\r\n\r\n");
	assert_contains(a, " 200 ");
	assert_null(strstr(a, "\"path\""));
}

static void
test_body_is_json_or_an_error(void **state)
{
	const char *a;

	(void) state;
	a = talk("POST /v1/rebuild HTTP/1.0\r\nContent-Length: 13\r\n\r\n{\"node\":\"n1\"}");
	assert_contains(a, " 200 ");
	assert_contains(a, "\"body\":{\"node\":\"n1\"}");
	a = talk("POST /v1/rebuild HTTP/1.0\r\nContent-Length: 3\r\n\r\n{\"n");
	assert_contains(a, " 400 ");
	assert_contains(a, "{\"error\":\"body is not JSON\",\"hint\":\"");
	a = talk("POST /v1/rebuild HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
	assert_contains(a, "\"body\":null");
}

static void
test_errors_are_json(void **state)
{
	const char *a;

	(void) state;
	a = talk("GET /nothing HTTP/1.0\r\n\r\n");
	assert_contains(a, " 404 ");
	assert_contains(a, "{\"error\":\"");
	a = talk("GET /v1/statusx HTTP/1.0\r\n\r\n");
	assert_contains(a, " 404 ");
	a = talk("POST /v1/status HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
	assert_contains(a, " 405 ");
	a = talk("DELETE /v1/status HTTP/1.0\r\n\r\n");
	assert_contains(a, " 405 ");
	assert_contains(a, "\"hint\":\"");
	a = talk("GET /v1/status%00x HTTP/1.0\r\n\r\n");
	assert_contains(a, " 400 ");
	a = talk("GET /v1/status?%ff=%fe HTTP/1.0\r\n\r\n");
	assert_contains(a, " 400 ");
	a = talk("GET /nothing-made HTTP/1.0\r\n\r\n");
	assert_contains(a, " 500 ");
	assert_contains(a, "{\"error\":\"the answer can't be written as JSON\",\"hint\":\"");
	a = talk("complete nonsense\r\n\r\n");
	assert_null(strstr(a, " 200 "));
}

static void
test_sizes_are_limited(void **state)
{
	char	   *big = malloc(200001);
	const char *a;
	int			n;

	(void) state;
	n = sprintf(big, "POST /v1/rebuild HTTP/1.0\r\nContent-Length: 150000\r\n\r\n");
	memset(big + n, ' ', 150000);
	a = talk_on(connect_unix(), big, (size_t) n + 150000);
	assert_null(strstr(a, " 200 "));
	n = sprintf(big, "GET /v1/status HTTP/1.0\r\nX: ");
	memset(big + n, 'x', 100000);
	strcpy(big + n + 100000, "\r\n\r\n");
	a = talk_on(connect_unix(), big, (size_t) n + 100004);
	assert_null(strstr(a, " 200 "));
	free(big);

	/* and it still answers */
	assert_contains(talk("GET /v1/status HTTP/1.0\r\n\r\n"), " 200 ");
}

static void
test_socket_has_its_mode_and_goes_with_the_server(void **state)
{
	struct stat st;

	(void) state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	rg_http_free(http);
	http = NULL;
	assert_int_equal(stat(path, &st), -1);
}

static void
test_socket_in_use_is_not_taken(void **state)
{
	RgHttp	   *second = NULL;
	RgError		err;

	(void) state;
	assert_int_equal(rg_http_listen_unix(base, path, routes, NULL, &second, &err), RGE_STATE);
	assert_null(second);
	assert_true(err.hint[0] != '\0');
	assert_contains(talk("GET /v1/status HTTP/1.0\r\n\r\n"), " 200 ");
}

static void
test_stale_socket_is_replaced_a_file_is_not(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	RgHttp	   *second = NULL;
	RgError		err;
	char		file[300];
	int			fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void) state;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.90s/stale", dir);
	assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
	close(fd);
	assert_int_equal(rg_http_listen_unix(base, sa.sun_path, routes, NULL, &second, &err), 0);
	rg_http_free(second);

	snprintf(file, sizeof(file), "%s/file", dir);
	write_file(file, "precious", 0600);
	assert_int_equal(rg_http_listen_unix(base, file, routes, NULL, &second, &err), RGE_STATE);
	assert_int_equal(access(file, F_OK), 0);
	snprintf(file, sizeof(file), "%s/no/such", dir);
	assert_int_equal(rg_http_listen_unix(base, file, routes, NULL, &second, &err), RGE_IO);
	assert_int_equal(rg_http_listen_unix(base, "relative", routes, NULL, &second, &err), RGE_ARGUMENT);
}

static void
test_tcp(void **state)
{
	RgHttp	   *tcp = NULL;
	RgHttp	   *second = NULL;
	RgError		err;
	char		address[64];
	int			port;
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int			fd;

	(void) state;
	close(listen_somewhere(&port));
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	if (rg_http_listen_tcp(base, address, routes, NULL, &tcp, &err) != 0)
		fail_msg("%s", err.message);
	assert_int_equal(rg_http_listen_tcp(base, address, routes, NULL, &second, &err), RGE_IO);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	sa.sin_port = htons((uint16_t) port);
	assert_int_equal(connect(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
	assert_contains(talk_on(fd, "GET /node/n1 HTTP/1.0\r\n\r\n", 25), " 200 ");
	rg_http_free(tcp);
	assert_int_equal(rg_http_listen_tcp(base, "localhost:80", routes, NULL, &tcp, &err), RGE_ARGUMENT);
	assert_int_equal(rg_http_listen_tcp(base, "127.0.0.1", routes, NULL, &tcp, &err), RGE_ARGUMENT);
	assert_int_equal(rg_http_listen_tcp(base, "127.0.0.1:99999", routes, NULL, &tcp, &err), RGE_ARGUMENT);
}

/* More clients than file descriptors: it waits instead of spinning, and comes back. */
static void
test_many_silent_clients(void **state)
{
	int			fds[100];

	(void) state;
	for (int i = 0; i < 100; i++)
	{
		if (i % 30 == 0)
			loop_for(base, 10);
		fds[i] = connect_unix();
	}
	loop_for(base, 20);
	assert_contains(talk("GET /v1/status HTTP/1.0\r\n\r\n"), " 200 ");
	for (int i = 0; i < 100; i++)
		close(fds[i]);
	loop_for(base, 20);
	assert_contains(talk("GET /v1/status HTTP/1.0\r\n\r\n"), " 200 ");
}

int
main(void)
{
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_SERVER(test_routes_and_their_rest),
		WITH_SERVER(test_body_is_json_or_an_error),
		WITH_SERVER(test_errors_are_json),
		WITH_SERVER(test_sizes_are_limited),
		WITH_SERVER(test_socket_has_its_mode_and_goes_with_the_server),
		WITH_SERVER(test_socket_in_use_is_not_taken),
		WITH_SERVER(test_stale_socket_is_replaced_a_file_is_not),
		WITH_SERVER(test_tcp),
		WITH_SERVER(test_many_silent_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
