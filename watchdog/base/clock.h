/*
 * clock.h
 *	  The two clocks of the watchdog.
 *
 * Deadlines and ages use CLOCK_BOOTTIME, which goes on while the machine is
 * suspended and never jumps; the wall clock is only for people.  The core
 * reads neither: now comes in with the view.
 */
#ifndef RG_CLOCK_H
#define RG_CLOCK_H

#include <stdint.h>

/* Milliseconds of CLOCK_BOOTTIME. */
extern int64_t rg_clock_now_ms(void);

/* Microseconds of CLOCK_BOOTTIME, for measuring phases. */
extern int64_t rg_clock_now_us(void);

/* Milliseconds since 1970, the wall clock; for records that people read. */
extern int64_t rg_clock_wall_ms(void);

/* "2026-11-23T10:32:06.123Z" into buf, which holds at least 32 bytes. */
extern const char *rg_clock_format(int64_t wall_ms, char *buf, unsigned long size);

#endif							/* RG_CLOCK_H */
