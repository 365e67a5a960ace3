/*
 * t_notify.c
 *	  watchdog/io/notify.c with a NOTIFY_SOCKET of our own.
 */
#include "helpers.h"

#include <sys/un.h>

#include "io/notify.h"

static char dir[256];
static int	fd;

static int
set_up(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	(void) state;
	make_directory(dir, sizeof(dir));
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%.90s/notify", dir);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
	setenv("NOTIFY_SOCKET", sa.sun_path, 1);
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	close(fd);
	remove_directory(dir);
	return 0;
}

static const char *
received(void)
{
	static char buf[2000];
	ssize_t		n = recv(fd, buf, sizeof(buf) - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void
test_what_systemd_is_told(void **state)
{
	(void) state;
	rg_notify_ready();
	assert_string_equal(received(), "READY=1");
	rg_notify_status("leader %s, term %d\nREADY=1", "n1", 7);
	assert_string_equal(received(), "STATUS=leader n1, term 7 READY=1");
	rg_notify_alive();
	assert_string_equal(received(), "WATCHDOG=1");
	rg_notify_reloading();
	assert_memory_equal(received(), "RELOADING=1\nMONOTONIC_USEC=", 27);
	rg_notify_stopping();
	assert_string_equal(received(), "STOPPING=1");
}

static void
test_without_a_socket_nothing_happens(void **state)
{
	(void) state;
	unsetenv("NOTIFY_SOCKET");
	rg_notify_ready();
	rg_notify_status("x");
	rg_notify_alive();
	rg_notify_stopping();
	assert_string_equal(received(), "");
}

static void
test_interval_is_half_of_what_systemd_allows(void **state)
{
	char		pid[32];

	(void) state;
	assert_int_equal(rg_notify_alive_interval_ms(), 0);
	setenv("WATCHDOG_USEC", "10000000", 1);
	assert_int_equal(rg_notify_alive_interval_ms(), 5000);
	snprintf(pid, sizeof(pid), "%ld", (long) getpid() + 1);
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(rg_notify_alive_interval_ms(), 0);	/* meant for another process */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_systemd_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_a_socket_nothing_happens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_interval_is_half_of_what_systemd_allows, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
