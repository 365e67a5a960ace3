/*
 * uri.h
 *	  Connection strings that let libpq find the primary, or a standby.
 */
#ifndef RG_URI_H
#define RG_URI_H

#include "../app/config.h"

#define RG_URI_MAX 8192

typedef enum RgUriKind
{
	RG_URI_WRITE,				/* target_session_attrs=read-write */
	RG_URI_READ					/* target_session_attrs=prefer-standby, libpq 14 and later */
} RgUriKind;

typedef enum RgUriForm
{
	RG_URI_FORM_URI,			/* postgresql://… */
	RG_URI_FORM_KEYWORDS		/* host=… port=… */
} RgUriForm;

/*
 * Writes the string into buf (RG_URI_MAX bytes); user "" = none.  For writes
 * all nodes that may become primary are listed, the highest priority first;
 * for reads those with a weight.  Returns buf.
 */
extern const char *rg_uri_build(const RgConfig *config, RgUriKind kind, RgUriForm form,
								const char *dbname, const char *user, char *buf);

#endif							/* RG_URI_H */
