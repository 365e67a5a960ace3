/*
 * conf_edit.h
 *	  A node's section written into regent.conf, or taken out of it.
 */
#ifndef RG_CONF_EDIT_H
#define RG_CONF_EDIT_H

#include "../app/config.h"

/*
 * Appends the section (its text, beginning with its heading) at the end of the file.
 * On an error the file is as it was.
 */
extern int	rg_conf_append(const char *file, const char *section, RgError *err);

/* Takes out the section of a node, with the comments right above and in it. */
extern int	rg_conf_remove(const char *file, const char *node, RgError *err);

/* The text without the section of a node, to be freed; NULL: there is none, or out of memory. */
extern char *rg_conf_without(const char *text, const char *node);

#endif							/* RG_CONF_EDIT_H */
