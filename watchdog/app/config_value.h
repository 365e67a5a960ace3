/*
 * config_value.h
 *	  One value of the configuration: from text to what the program uses.
 *
 * Each function either stores a value or says in one clause what would have
 * been right ("a number from 1 to 65535 is needed").  Nothing here knows about
 * files, lines or other keys.
 */
#ifndef RG_CONFIG_VALUE_H
#define RG_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "config_keys.h"

#define RG_WHY_MAX 320

/*
 * Stores value in base (an RgConfig or RgNodeConfig) where the key says.
 * Returns 0, or RGE_ARGUMENT with the reason in ret_why.
 */
extern int	rg_value_set(const RgKey *key, const char *value, void *base,
						 char *ret_why, size_t size);

/* "500ms", "5s", "30s", "1min", "2h", "1d".  Whole numbers with a unit only. */
extern int	rg_duration_parse(const char *text, int64_t *ret_ms, char *ret_why, size_t size);

/* 90000 is "90s", 120000 is "2min": the greatest unit that leaves no rest. */
extern const char *rg_duration_format(int64_t ms, char *buf, size_t size);

/* "0", "512kB", "50MB", "1GB"; 1 kB = 1024 bytes. */
extern int	rg_size_parse(const char *text, int64_t *ret_bytes, char *ret_why, size_t size);

extern int	rg_boolean_parse(const char *text, bool *ret_value);

/* [a-z0-9_], 1 to 40 characters. */
extern bool rg_node_name_is_valid(const char *name);

/* Splits "127.0.0.1:8008" or "[::1]:8008"; host without brackets. */
extern int	rg_address_split(const char *text, char *ret_host, size_t size, int *ret_port);

#endif							/* RG_CONFIG_VALUE_H */
