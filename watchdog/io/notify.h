/*
 * notify.h
 *	  What systemd is told: ready, status, alive, stopping.
 *
 * All of these do nothing where systemd did not start us (no NOTIFY_SOCKET).
 */
#ifndef RG_NOTIFY_H
#define RG_NOTIFY_H

#include <stdint.h>

/* Ready: everything that a client could ask for works. */
extern void rg_notify_ready(void);

/* One line for "systemctl status". */
extern void rg_notify_status(const char *fmt,...)
			__attribute__((format(printf, 1, 2)));

/* The loop is alive; to be called from a timer of the loop itself, never from a thread. */
extern void rg_notify_alive(void);

/* SIGHUP: reloading, then ready again. */
extern void rg_notify_reloading(void);
extern void rg_notify_stopping(void);

/* How often rg_notify_alive() is to be called (half of WatchdogSec); 0 = not asked for. */
extern int64_t rg_notify_alive_interval_ms(void);

#endif							/* RG_NOTIFY_H */
