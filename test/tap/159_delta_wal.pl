# WAL of the source while a delta copy goes on: it is fetched between the files, so the source
# keeps hardly any of it for the copy.  Where more is written than may be fetched, the copy
# ends early, with the word that makes regentd take the next method.
use strict;
use warnings;
use RegentCluster qw(answer_of wait_until slurp spew);
use RegentCopy qw(syncfs_env);
use JSON::PP ();
use Test::More;
use Time::HiRes qw(time);

my $c = RegentCluster->new(nodes => 2, no_sshd => 1, servers => 0, initdb => ['--wal-segsize=1'],
	conf => "regent.gate = off\nfsync = off\nautovacuum = off\nmin_wal_size = 2MB\nregent.slot_wal_limit = 0\n");
my $d = $c->dir;
my $old = $c->node('n2')->{dir};
my $wal = $c->node('n1')->{dir} . '/pg_wal';
my @source = ('n1', '127.0.0.1', $c->node('n1')->{port}, 'regent_replication', "$d/pgpass", 'regent_n2');
my $log = "$d/delta.out";

sub output { return slurp($log) // '' }

# A copy of about 40 MB in the background, at so many KB a second; returns its pid.
sub begin_delta
{
	my ($rate) = @_;
	unlink $log;
	my $pid = $c->spawn([ "$RegentCluster::top/scripts/regent-node", '-c', "$d/node.conf", 'n2', 'delta', 1, @source, $rate ], $log,
		env => { syncfs_env("$d/synced") });
	wait_until(sub { output() =~ /"comparing","bytes":[1-9]/ }, 30, 'the copy to run', \&output);
	return $pid;
}

sub end_delta
{
	my ($pid) = @_;
	RegentCluster::reap($pid, 60);
	return answer_of(output());
}

# The last line of progress, and those of a phase.
sub last_progress { my ($line) = (grep { /"progress"/ } split /\n/, output())[-1]; return JSON::PP::decode_json($line) }
sub in_phase { my ($phase) = @_; return grep { $_->{phase} eq $phase } map { JSON::PP::decode_json($_) } grep { /"progress"/ } split /\n/, output() }

# So many megabytes, finished segments all of them; returns where they begin and end.
sub write_wal
{
	my ($megabytes) = @_;
	my $from = $c->sql('n1', 'SELECT pg_current_wal_lsn()');
	$c->sql('n1', "INSERT INTO written SELECT i, repeat('x', 1000) FROM generate_series(1, 1000 * $megabytes) i");
	$c->sql('n1', 'SELECT pg_switch_wal()');
	return ($from, $c->sql('n1', 'SELECT pg_current_wal_insert_lsn()'));
}

sub set { my ($name, $value) = @_; $c->sql('n1', "ALTER SYSTEM SET $name = '$value'"); $c->sql('n1', 'SELECT pg_reload_conf()') }

sub rows { my ($node) = @_; return join ' ', map { $c->sql($node, "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY id)) FROM $_ t") } qw(big written) }

$c->make_primary('n1');
$c->make_standby('n2');
$c->init_cluster;
$c->wait_caught_up('n1', 'n2');
$c->stop_server('n2');
$c->sql('n1', 'CREATE TABLE written (id int, t text)');
$c->sql('n1', "CREATE TABLE big AS SELECT i AS id, repeat(md5(i::text), 6) AS pad FROM generate_series(1, 150000) i");
$c->sql('n1', 'CHECKPOINT');

# ---- it is fetched, and released ----

my $pid = begin_delta(3000);
my ($from, $to) = write_wal(8);
wait_until(sub { ($c->sql('n1', "SELECT restart_lsn + 8192 >= '$to' FROM pg_replication_slots WHERE temporary") // '') eq 't' }, 30, 'the slot of the copy to move on', \&output);
my $at = last_progress();
is($at->{phase}, 'comparing', 'while files are copied, the slot moves on');
cmp_ok($at->{bytes}, '<', $at->{total} - 4_000_000, "$at->{bytes} of $at->{total} bytes");
$c->sql('n1', 'CHECKPOINT');
my $name = $c->sql('n1', "SELECT pg_walfile_name('$from'::pg_lsn + 1048576)");
wait_until(sub { $c->sql('n1', 'CHECKPOINT'); !-e "$wal/$name" }, 30, 'the source to remove what was written meanwhile', \&output);
is(last_progress()->{phase}, 'comparing', 'and the source has removed it');
write_wal(2);
spew("$d/synced.hold", '');
wait_until(sub { in_phase('syncing') }, 60, 'the copy to wait for the disk', \&output);
ok(!-e "$old.regent-copy", 'until all is on disk it is not marked as complete, and that is told');
unlink "$d/synced.hold";
my $a = end_delta($pid);
ok($a->{ok}, 'the copy is complete') or diag($a->{all});
my @all = in_phase('comparing');
ok(!grep({ $_->{bytes} > $_->{total} } @all), 'progress is never above the total');
ok(!grep({ $all[$_]{bytes} < $all[ $_ - 1 ]{bytes} } 1 .. $#all), 'and never goes back');
cmp_ok($all[-1]{total}, '>=', $all[0]{total} + 8_000_000, 'what was fetched meanwhile is counted');
my ($label) = slurp("$old.regent-new/backup_label") =~ /\(file ([0-9A-F]{24})\)/;
my @segments = sort map { m!/([0-9A-F]{24})$! ? $1 : () } glob("$old.regent-new/pg_wal/*");
is($segments[0], $label, 'its WAL begins where the backup did');
ok(!grep({ hex(substr $segments[$_], 8, 8) * 4096 + hex(substr $segments[$_], 16) != hex(substr $segments[ $_ - 1 ], 8, 8) * 4096 + hex(substr $segments[ $_ - 1 ], 16) + 1 } 1 .. $#segments), 'and has no gap');
ok(!grep({ -s "$old.regent-new/pg_wal/$_" != 1048576 || !-e "$old.regent-new/pg_wal/archive_status/$_.done" } @segments), 'whole segments, marked as archived');
$a = answer_of(join '', ($c->helper('n2', 'swap', 1, @source))[ 1, 2 ]);
ok($a->{ok}, 'swap') or diag($a->{all});
$c->wait_caught_up('n1', 'n2');
is(rows('n2'), rows('n1'), 'it streams, and has the same rows');
$a = answer_of(join '', ($c->helper('n2', 'settle'))[ 1, 2 ]);
ok($a->{ok}, 'settle') or diag($a->{all});
$c->stop_server('n2');

# ---- more is written than may be fetched ----

my $checkpoint = sub { $c->sql('n1', 'CHECKPOINT') };
for my $limit ([ 'regent.slot_wal_limit', 'and not needed by the source itself', $checkpoint ], [ 'max_slot_wal_keep_size', 'and about to be removed', sub { } ],
	[ 'max_slot_wal_keep_size', 'and the session ended by the source', $checkpoint ])
{
	my ($setting, $what, $then) = @$limit;
	set('regent.slot_wal_limit', -1);
	set($setting, '4MB');
	$pid = begin_delta(1000);
	write_wal(20);
	my $begin = time;
	$then->();
	$a = end_delta($pid);
	is($a->{error}, 'not_possible', "more than $setting, $what: the next method") or diag($a->{all});
	like($a->{detail}, qr/\Q$setting\E allows: 4 ?MB/, 'and why');
	$at = last_progress();
	cmp_ok($at->{bytes}, '<', $at->{total} / 2, sprintf 'early: %d of %d bytes, after %.0f s', $at->{bytes}, $at->{total}, time - $begin);
	ok(!-e "$old.regent-new" && !-e "$old.regent-copy", 'nothing is left of it');
}
done_testing();
