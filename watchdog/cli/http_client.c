/*
 * http_client.c
 *	  libcurl over a Unix socket.
 *
 * The answer's size and the time are limited.  "Nobody listens", "you may not"
 * and "it does not answer" are told apart, since each has another remedy.
 */
#include "http_client.h"
#include "text.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (8 * 1024 * 1024)

typedef struct Answer
{
	char	   *data;
	size_t		len;
} Answer;

static size_t
take_data(char *data, size_t one, size_t len, void *arg)
{
	Answer	   *answer = arg;
	char	   *grown;

	(void) one;
	if (len > ANSWER_MAX - answer->len)
		return 0;				/* curl gives up */
	grown = realloc(answer->data, answer->len + len + 1);
	if (grown == NULL)
		return 0;
	answer->data = grown;
	memcpy(answer->data + answer->len, data, len);
	answer->len += len;
	answer->data[answer->len] = '\0';
	return len;
}

/* What a failed transfer means. */
static int
explain_transfer(const RgConfig *config, CURLcode code, long os_error, RgError *err)
{
	const char *socket = config->control_socket;

	if (code == CURLE_OPERATION_TIMEDOUT)
	{
		rg_error_set(err, RGE_TIMEOUT, "regentd does not answer on %.150s", socket);
		rg_error_hint(err, "Look at it: systemctl status regentd; journalctl -u regentd -n 50.");
		return RGE_TIMEOUT;
	}
	if (code == CURLE_COULDNT_CONNECT && (os_error == EACCES || os_error == EPERM))
	{
		rg_error_set(err, RGE_TRUST, "no permission to use regentd's control socket %.150s", socket);
		rg_error_hint(err, "Use sudo, or become a member of the socket's group "
					  "(ls -l %.300s shows it).", socket);
		return RGE_TRUST;
	}
	if (code == CURLE_COULDNT_CONNECT)
	{
		rg_error_set(err, RGE_IO, "no regentd answers on %.150s", socket);
		rg_error_detail(err, "%s.", os_error == ENOENT ? "There is no such socket" :
						os_error != 0 ? strerror((int) os_error) : "The connection failed");
		rg_error_hint(err, "Start it: systemctl start regentd. If it runs with another configuration, "
					  "name that file with -c FILE.");
		return RGE_IO;
	}
	/* a broken connection is a regentd that went away; too much data is not */
	rg_error_set(err, code == CURLE_WRITE_ERROR ? RGE_FORMAT : RGE_IO, "the answer of regentd could not be read");
	rg_error_detail(err, "%s.", curl_easy_strerror(code));
	return code == CURLE_WRITE_ERROR ? RGE_FORMAT : RGE_IO;
}

/* What an answer means. */
static int
explain_answer(long status, const Answer *answer, json_t **ret_answer, RgError *err)
{
	json_t	   *json = NULL;
	int			rc = 0;

	if (answer->data != NULL)
		json = json_loadb(answer->data, answer->len, 0, NULL);
	if (status >= 200 && status < 300 && json != NULL)
	{
		*ret_answer = json;
		return 0;
	}
	if (status >= 200 && status < 300)
		rc = rg_error_set(err, RGE_FORMAT, "regentd's answer is not JSON");
	else if (rg_json_text(json, "error", NULL) != NULL)
	{
		rc = rg_error_set(err, RGE_REFUSED, "%s", rg_json_text(json, "error", ""));
		rg_error_detail(err, "%s", rg_json_text(json, "detail", ""));
		rg_error_hint(err, "%s", rg_json_text(json, "hint", ""));
	}
	else
	{
		rc = rg_error_set(err, RGE_REFUSED, "regentd refused the request (HTTP status %ld)", status);
		if (status == 404)
			rg_error_hint(err, "regent and regentd may be of different versions: compare "
						  "regent --version with regentd --version.");
	}
	json_decref(json);
	return rc;
}

int
rg_client_request(const RgConfig *config, const char *method, const char *path,
				  const json_t *body, int deadline_ms, json_t **ret_answer, RgError *err)
{
	CURL	   *curl = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	char	   *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	Answer		answer = {0};
	char		url[1024];
	CURLcode	code;
	long		status = 0;
	long		os_error = 0;
	int			rc;

	if (curl == NULL || headers == NULL || (body != NULL && text == NULL))
	{
		rc = rg_error_set(err, RGE_NOMEM, "out of memory");
		goto out;
	}
	snprintf(url, sizeof(url), "http://localhost%s", path);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, config->control_socket);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) deadline_ms);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	if (strcmp(method, "POST") == 0)
	{
		curl_easy_setopt(curl, CURLOPT_POST, 1L);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text != NULL ? text : "");
	}
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK)
		rc = explain_transfer(config, code, os_error, err);
	else
		rc = explain_answer(status, &answer, ret_answer, err);

out:
	if (curl != NULL)
		curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	free(text);
	free(answer.data);
	return rc;
}

RgExit
rg_client_fail(const RgCli *cli, const RgError *err)
{
	rg_cli_fail(cli, err);
	return err->code == RGE_IO || err->code == RGE_TIMEOUT ? RG_EXIT_NO_DAEMON : RG_EXIT_FAILED;
}

RgExit
rg_client_get(const RgCli *cli, const char *path, json_t **ret_answer)
{
	RgError		err = {0};

	if (rg_client_request(&cli->config, "GET", path, NULL, RG_CLIENT_DEADLINE_MS, ret_answer, &err) != 0)
		return rg_client_fail(cli, &err);
	return RG_EXIT_DONE;
}

RgExit
rg_client_post(const RgCli *cli, const char *path, json_t *body, json_t **ret_answer)
{
	RgError		err = {0};
	int			rc = rg_client_request(&cli->config, "POST", path, body, RG_CLIENT_DEADLINE_MS, ret_answer, &err);

	json_decref(body);
	return rc == 0 ? RG_EXIT_DONE : rg_client_fail(cli, &err);
}
