/*
 * rewind_list.h
 *	  Which WAL pg_rewind sees on its source: rewind_ls_dir() and regent.rewind_wal_from.
 */
#ifndef RG_REWIND_LIST_H
#define RG_REWIND_LIST_H

/* Defines the setting and puts the hook in; called once while the library is preloaded. */
extern void rg_rewind_list_init(void);

#endif							/* RG_REWIND_LIST_H */
