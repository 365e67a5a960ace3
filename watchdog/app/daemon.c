/*
 * daemon.c
 *	  Start, SIGHUP, SIGTERM and the keepalives of systemd.
 *
 * SIGHUP reads the configuration again; a bad file changes nothing.  The
 * watchdog keepalive is sent from the loop, so that a stuck loop is noticed.
 */
#include "daemon.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cluster.h"
#include "status.h"
#include "watchdog/io/notify.h"

typedef struct RgDaemon
{
	struct event_base *base;
	RgLog	   *log;
	RgCluster  *cluster;
	struct event *term;
	struct event *intr;
	struct event *hup;
	struct event *keepalive;
} RgDaemon;

static void
on_stop(evutil_socket_t sig, short what, void *arg)
{
	RgDaemon   *d = arg;
	char		price[160];

	(void) what;
	rg_notify_stopping();
	rg_status_farewell(d->cluster, price, sizeof(price));
	rg_cluster_tell(d->cluster, RG_EVENT_WATCHDOG_STOP, -1, price[0] != '\0',
					"regentd stops on %s: no automatic failover until it is started again%s",
					sig == SIGINT ? "SIGINT" : "SIGTERM", price);
	(void) event_base_loopbreak(d->base);
}

static void
on_reload(evutil_socket_t sig, short what, void *arg)
{
	RgDaemon   *d = arg;
	RgError		err;

	(void) sig;
	(void) what;
	rg_notify_reloading();
	(void) rg_cluster_reread(d->cluster, &err);
	rg_notify_ready();
}

static void
on_keepalive(evutil_socket_t fd, short what, void *arg)
{
	(void) fd;
	(void) what;
	(void) arg;
	rg_notify_alive();
}

static int
add_signals(RgDaemon *d)
{
	int64_t		interval = rg_notify_alive_interval_ms();
	struct timeval tv;

	(void) signal(SIGPIPE, SIG_IGN);
	(void) signal(SIGXFSZ, SIG_IGN);	/* a journal at its limit is an error, not our end */
	d->term = evsignal_new(d->base, SIGTERM, on_stop, d);
	d->intr = evsignal_new(d->base, SIGINT, on_stop, d);
	d->hup = evsignal_new(d->base, SIGHUP, on_reload, d);
	if (!d->term || !d->intr || !d->hup || event_add(d->term, NULL) < 0 ||
		event_add(d->intr, NULL) < 0 || event_add(d->hup, NULL) < 0)
		return -1;
	if (interval <= 0)
		return 0;
	tv.tv_sec = interval / 1000;
	tv.tv_usec = interval % 1000 * 1000;
	d->keepalive = event_new(d->base, -1, EV_PERSIST, on_keepalive, d);
	return d->keepalive != NULL && event_add(d->keepalive, &tv) == 0 ? 0 : -1;
}

static void
free_events(RgDaemon *d)
{
	struct event *events[] = {d->term, d->intr, d->hup, d->keepalive};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i] != NULL)
			event_free(events[i]);
}

/* Deadlines to the millisecond: without this flag timers are several of them late. */
static struct event_base *
new_loop(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	if (config != NULL && event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER) == 0)
		base = event_base_new_with_config(config);
	if (config != NULL)
		event_config_free(config);
	return base;
}

int
rg_daemon_run(const RgConfig *config)
{
	RgDaemon	d;
	RgError		err;
	int			status = 1;

	memset(&d, 0, sizeof(d));
	rg_error_clear(&err);
	d.log = rg_log_new(STDERR_FILENO, RG_LOG_INFO);
	d.base = new_loop();
	if (d.log == NULL || d.base == NULL)
		(void) fprintf(stderr, "regentd: out of memory\n");
	else if (rg_cluster_open(d.base, d.log, config, &d.cluster, &err) < 0)
		rg_log_error(d.log, RG_LOG_ERROR, "watchdog_start", config->name, NULL, &err);
	else if (add_signals(&d) < 0)
		rg_log(d.log, RG_LOG_ERROR, "watchdog_start", config->name, NULL, "can't set up signals");
	else
	{
		rg_cluster_tell(d.cluster, RG_EVENT_WATCHDOG_START, -1, false,
						"regentd " RG_VERSION " watches %d nodes as watchdog %s, start %lld",
						config->nnodes, d.cluster->identity.id,
						(long long) d.cluster->identity.counter);
		if (d.cluster->view.maybe_restored)
			rg_cluster_tell(d.cluster, RG_EVENT_WATCHDOG_START, -1, false,
							"the journal may be an old copy (%s): no closed node is opened and nobody is recruited before "
							"most voters have shown that it is not", d.cluster->doubt);
		rg_notify_ready();
		status = event_base_dispatch(d.base) < 0 ? 1 : 0;
	}
	rg_cluster_close(d.cluster);
	free_events(&d);
	if (d.base != NULL)
		event_base_free(d.base);
	rg_log_free(d.log);
	return status;
}
