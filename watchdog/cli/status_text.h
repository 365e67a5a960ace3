/*
 * status_text.h
 *	  regentd's status object as a text of at most 100 columns.
 */
#ifndef RG_STATUS_TEXT_H
#define RG_STATUS_TEXT_H

#include <stdio.h>
#include <jansson.h>

/*
 * The first line says whether automatic failover would work right now.  What a
 * status of another version lacks is left out.
 */
extern void rg_status_write(const json_t *status, FILE *out);

#endif							/* RG_STATUS_TEXT_H */
