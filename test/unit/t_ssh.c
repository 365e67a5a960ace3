/*
 * t_ssh.c
 *	  watchdog/io/ssh without an sshd: words, key files, and hosts that
 *	  refuse, say nothing, or talk nonsense.
 *
 * Sessions, host keys, agent and commands are tried by test/unit/real with a real one.
 */
#include "helpers.h"

#include <libssh2.h>

#include "io/ssh.h"
#include "io/ssh_keyfile.h"
#include "io/ssh_words.h"

#define WITH_RSA_SHA2 0x010b00		/* libssh2 1.11.0 */

typedef struct Seen
{
	int			calls;
	RgSshState	last;
	char		reason[512];
	char		hint[512];
	RgSsh	   *free_this;
} Seen;

static struct event_base *base;
static char dir[256];
static int	listener;
static int	port;

static int
set_up(void **state)
{
	(void) state;
	base = make_base();
	make_directory(dir, sizeof(dir));
	listener = listen_somewhere(&port);
	unsetenv("SSH_AUTH_SOCK");
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	if (listener >= 0)
		close(listener);
	event_base_free(base);
	remove_directory(dir);
	return 0;
}

static void
on_state(void *arg, RgSsh *ssh, RgSshState state, const char *reason, const char *hint)
{
	Seen	   *s = arg;

	(void) ssh;
	s->calls++;
	s->last = state;
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
	snprintf(s->hint, sizeof(s->hint), "%s", hint);
	if (s->free_this != NULL)
		rg_ssh_free(s->free_this);
}

static void
on_done(void *arg, RgSshEnd end, int exit_status, const char *errors)
{
	(void) arg;
	(void) end;
	(void) exit_status;
	fail_msg("%s", errors);
}

static RgSsh *
start(Seen *s)
{
	RgSshParams p = {.node = "n1", .host = "127.0.0.1", .port = port, .user = "u",
	.connect_deadline_ms = 200, .keepalive_ms = 1000};
	RgSsh	   *ssh;

	snprintf(p.key_file, sizeof(p.key_file), "%s/key", dir);
	snprintf(p.known_hosts, sizeof(p.known_hosts), "%s/known_hosts", dir);
	memset(s, 0, sizeof(*s));
	ssh = rg_ssh_new(base, &p, on_state, s);
	assert_non_null(ssh);
	assert_int_equal(rg_ssh_state(ssh), RG_SSH_UNKNOWN);
	rg_ssh_start(ssh);
	return ssh;
}

/* --- words --- */

static void
test_words_are_joined(void **state)
{
	const char *words[] = {"regent-node", "n1", "copy", "7", "n2", "10.0.0.2", "5432", "regent_replication",
	"/var/lib/postgresql/.pgpass", "regent_n1", "a=b,c@d+e", NULL};
	char		buf[200];
	char		err[100];

	(void) state;
	assert_true(rg_ssh_words_join(words, buf, sizeof(buf), err, sizeof(err)));
	assert_string_equal(buf, "regent-node n1 copy 7 n2 10.0.0.2 5432 regent_replication "
						"/var/lib/postgresql/.pgpass regent_n1 a=b,c@d+e");
}

static void
test_anything_that_a_shell_could_read_is_refused(void **state)
{
	char		word[4] = "aXb";
	const char *words[] = {"regent-node", word, NULL};
	char		buf[200];
	char		err[100];
	int			good = 0;

	(void) state;
	for (int c = 1; c < 256; c++)
	{
		word[1] = (char) c;
		good += rg_ssh_words_join(words, buf, sizeof(buf), err, sizeof(err));
	}
	assert_int_equal(good, 26 + 26 + 10 + 9);	/* letters, digits, _./:=@,+- and nothing else */
	word[0] = '\0';
	assert_false(rg_ssh_words_join(words, buf, sizeof(buf), err, sizeof(err)));
	assert_non_null(strstr(err, "word 2"));
}

static void
test_length_is_limited(void **state)
{
	const char *words[] = {"abcd", "efgh", NULL};
	const char *none[] = {NULL};
	char		buf[10];
	char		err[100];

	(void) state;
	assert_true(rg_ssh_words_join(words, buf, 10, err, sizeof(err)));
	assert_false(rg_ssh_words_join(words, buf, 9, err, sizeof(err)));
	assert_false(rg_ssh_words_join(none, buf, 10, err, sizeof(err)));
}

/* --- key files --- */

static int
check_key(const char *text, mode_t mode, RgError *err)
{
	char		path[300];

	snprintf(path, sizeof(path), "%s/key", dir);
	write_file(path, text, mode);
	return rg_ssh_key_check(path, err);
}

/* Makes a key with the real tool; false where there is none. */
static bool
make_key(const char *options)
{
	char		command[1200];

	snprintf(command, sizeof(command), "rm -f %s/key %s/key.pub; ssh-keygen -q %s -f %s/key > /dev/null 2>&1",
			 dir, dir, options, dir);
	return system(command) == 0;
}

static void
test_key_files(void **state)
{
	static const struct
	{
		const char *options;
		int			rc;
		const char *message;
	}			cases[] = {
		{"-t ed25519 -N ''", 0, ""},
		{"-t ecdsa -b 256 -N ''", 0, ""},
		{"-t ecdsa -b 521 -N ''", 0, ""},
		{"-t ecdsa -m PEM -N ''", 0, ""},
		{"-t ecdsa -m PKCS8 -N ''", 0, ""},
		{"-t rsa -N ''", RGE_TRUST, "RSA"},
		{"-t rsa -m PEM -N ''", RGE_TRUST, "RSA"},
		{"-t rsa -m PKCS8 -N ''", RGE_TRUST, "RSA"},
		{"-t ed25519 -N secret", RGE_TRUST, "passphrase"},
		{"-t ecdsa -m PEM -N secret", RGE_TRUST, "passphrase"},
		{"-t ecdsa -m PKCS8 -N secret", RGE_TRUST, "passphrase"},
	};
	char		path[300];

	(void) state;
	if (system("command -v ssh-keygen > /dev/null") != 0)
		skip();
	snprintf(path, sizeof(path), "%s/key", dir);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		RgError		err = {.code = 0};
		bool		is_taken = cases[i].rc == 0 ||
			(strcmp(cases[i].message, "RSA") == 0 && libssh2_version(WITH_RSA_SHA2) != NULL);

		assert_true(make_key(cases[i].options));
		if (rg_ssh_key_check(path, &err) != (is_taken ? 0 : cases[i].rc))
			fail_msg("%s: %s", cases[i].options, err.message);
		if (!is_taken)
			assert_non_null(strstr(err.message, cases[i].message));
		assert_int_equal(err.hint[0] != '\0', !is_taken);
	}
}

static void
test_what_is_no_key(void **state)
{
	RgError		err;
	char		path[300];

	(void) state;
	assert_int_equal(check_key("", 0600, &err), RGE_FORMAT);
	assert_int_equal(check_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA x\n", 0600, &err), RGE_FORMAT);
	assert_int_equal(check_key("-----BEGIN OPENSSH PRIVATE KEY-----\n", 0600, &err), RGE_FORMAT);
	assert_int_equal(check_key("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n", 0600, &err), RGE_FORMAT);
	assert_int_equal(check_key("-----BEGIN OPENSSH PRIVATE KEY-----\n!!!!\n-----END\n", 0600, &err), RGE_FORMAT);

	/* lengths that lie */
	assert_int_equal(check_key("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA/////w==\n", 0600, &err), RGE_FORMAT);
	assert_int_equal(check_key("-----BEGIN CERTIFICATE-----\nAAAA\n", 0600, &err), RGE_FORMAT);
	assert_int_equal(check_key("-----BEGIN EC PRIVATE KEY-----\nAAAA\n", 0640, &err), RGE_TRUST);
	assert_non_null(strstr(err.hint, "chmod 600"));
	snprintf(path, sizeof(path), "%s/missing", dir);
	assert_int_equal(rg_ssh_key_check(path, &err), RGE_IO);
	assert_non_null(strstr(err.hint, "ssh-keygen -t ed25519"));
	assert_int_equal(rg_ssh_key_check(dir, &err), RGE_IO);
}

/* --- hosts --- */

static void
test_refused(void **state)
{
	Seen		s;
	RgSsh	   *ssh;
	char		err[200];
	const char *words[] = {"x", NULL};

	(void) state;
	close(listener);
	listener = -1;
	ssh = start(&s);
	assert_int_equal(s.calls, 0);
	assert_int_equal(rg_ssh_state(ssh), RG_SSH_CONNECTING);
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.last, RG_SSH_REFUSED);
	assert_non_null(strstr(s.reason, "node n1"));
	assert_non_null(strstr(s.reason, "Connection refused"));
	assert_true(s.hint[0] != '\0');
	assert_null(rg_ssh_exec(ssh, words, 100, NULL, on_done, NULL, err, sizeof(err)));
	assert_non_null(strstr(err, "Connection refused"));

	/* tries again: the same state is not told again */
	loop_for(base, 500);
	assert_int_equal(s.calls, 1);
	rg_ssh_free(ssh);
}

static void
test_silent_host_hits_the_deadline(void **state)
{
	Seen		s;
	int64_t		began = rg_clock_now_ms();
	RgSsh	   *ssh = start(&s);

	(void) state;
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_true(rg_clock_now_ms() - began >= 195);
	assert_int_equal(s.last, RG_SSH_SILENT);
	assert_non_null(strstr(s.reason, "exchanging keys"));
	rg_ssh_free(ssh);
}

static void
test_closes_at_once(void **state)
{
	Seen		s;
	RgSsh	   *ssh = start(&s);
	int			fd;

	(void) state;
	loop_for(base, 20);
	fd = accept(listener, NULL, NULL);
	close(fd);
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.last, RG_SSH_REFUSED);
	assert_non_null(strstr(s.reason, "closed the connection"));
	rg_ssh_free(ssh);
}

static void
test_nonsense_is_a_failure(void **state)
{
	static const char *const texts[] = {
		"HTTP/1.1 400 Bad Request\r\n\r\n",
		"SSH-1.5-old\r\n",
		"SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"SSH-2.0-x\r\n\0\0\0\x0c\x06\x14zzzzzzzzzzzzzzzzz",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		Seen		s;
		RgSsh	   *ssh = start(&s);
		int			fd;
		size_t		len = i == 3 ? 40 : strlen(texts[i]);

		loop_for(base, 20);
		fd = accept(listener, NULL, NULL);
		assert_true(fd >= 0);
		assert_true(send(fd, texts[i], len > 30 ? 30 : len, MSG_NOSIGNAL) > 0);
		assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
		assert_true(s.last == RG_SSH_FAILED || s.last == RG_SSH_SILENT || s.last == RG_SSH_REFUSED);
		rg_ssh_free(ssh);
		close(fd);

		/* what it tried again meanwhile */
		close(listener);
		listener = listen_somewhere(&port);
	}
}

/* Banner text before the version (RFC 4253, 4.2) is no reason to fail, endless text is cut by the deadline. */
static void
test_endless_banner(void **state)
{
	Seen		s;
	int64_t		began = rg_clock_now_ms();
	RgSsh	   *ssh = start(&s);
	int			fd;

	(void) state;
	loop_for(base, 20);
	fd = accept(listener, NULL, NULL);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (s.calls == 0 && rg_clock_now_ms() - began < PATIENCE_MS)
	{
		(void) !write(fd, "all work and no play\r\n", 22);
		loop_for(base, 1);
	}
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.last, RG_SSH_SILENT);
	assert_true(rg_clock_now_ms() - began >= 195);
	close(fd);
	rg_ssh_free(ssh);
}

static void
test_backs_off_and_a_kick_tries_now(void **state)
{
	Seen		s;
	int64_t		began = rg_clock_now_ms();
	RgSsh	   *ssh = start(&s);
	int			tries = 0;
	int			fd;

	(void) state;
	fcntl(listener, F_SETFL, O_NONBLOCK);
	while (tries < 4 && rg_clock_now_ms() - began < PATIENCE_MS)
	{
		loop_for(base, 5);
		while ((fd = accept(listener, NULL, NULL)) >= 0)
		{
			close(fd);
			tries++;
		}
	}
	assert_int_equal(tries, 4);	/* after 0, 100, 300, 700 ms, a quarter more or less */
	assert_true(rg_clock_now_ms() - began >= 500);
	loop_for(base, 100);		/* it sees the end; the next one would be after 800 ms */
	rg_ssh_kick(ssh);
	loop_for(base, 20);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	close(fd);
	rg_ssh_free(ssh);
}

static void
test_no_address(void **state)
{
	Seen		s = {0};
	RgSshParams p = {.node = "n1", .host = "db1.example", .port = 22, .user = "u", .connect_deadline_ms = 200, .keepalive_ms = 500};
	RgSsh	   *ssh = rg_ssh_new(base, &p, on_state, &s);

	(void) state;
	rg_ssh_kick(ssh);			/* not started: nothing */
	loop_for(base, 20);
	assert_int_equal(s.calls, 0);
	rg_ssh_start(ssh);
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	assert_int_equal(s.last, RG_SSH_FAILED);
	assert_non_null(strstr(s.reason, "db1.example"));
	rg_ssh_free(ssh);
	rg_ssh_free(NULL);
}

static void
test_freed_in_its_own_callback(void **state)
{
	Seen		s;
	RgSsh	   *ssh = start(&s);

	(void) state;
	s.free_this = ssh;
	assert_true(loop_until(base, &s.calls, 1, PATIENCE_MS));
	loop_for(base, 300);
	assert_int_equal(s.calls, 1);
}

int
main(void)
{
#define WITH_HOST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_are_joined),
		cmocka_unit_test(test_anything_that_a_shell_could_read_is_refused),
		cmocka_unit_test(test_length_is_limited),
		WITH_HOST(test_key_files),
		WITH_HOST(test_what_is_no_key),
		WITH_HOST(test_refused),
		WITH_HOST(test_silent_host_hits_the_deadline),
		WITH_HOST(test_closes_at_once),
		WITH_HOST(test_nonsense_is_a_failure),
		WITH_HOST(test_endless_banner),
		WITH_HOST(test_backs_off_and_a_kick_tries_now),
		WITH_HOST(test_no_address),
		WITH_HOST(test_freed_in_its_own_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
