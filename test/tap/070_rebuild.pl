# Rebuild: by command and by SQL, refused where it must be, interrupted without
# harm, the old directory kept until the new one streams.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew);
use Test::More;

my $c = RegentCluster->new(nodes => 3);
$c->up;
$c->sql('n1', 'CREATE TABLE t AS SELECT i AS id, repeat(md5(i::text), 20) AS pad FROM generate_series(1, 50000) i');

# refusals, with the reason
my ($rc, $out, $err) = $c->regent('rebuild', 'n1');
is($rc, 1, 'the leader is never rebuilt');
like($out . $err, qr/leads the cluster/, 'and why is said');
($rc, $out, $err) = $c->regent('rebuild', 'n2');
is($rc, 1, 'a healthy standby is not rebuilt');
like($out . $err, qr/healthy/, 'and why is said');
($rc, $out, $err) = $c->regent('rebuild', 'n9');
is($rc, 1, 'an unknown node');
like($out . $err, qr/no node "n9"/, 'is named');

# a dead node comes back by command, while the service runs
my $load = $c->start_load;
$c->kill_server('n2');
$c->wait_node('n2', 'dead');
my $dir = $c->node('n2')->{dir};
spew("$dir/PG_VERSION.lost-marker", "old\n");
unlink "$dir/global/pg_filenode.map";    # it can't be started any more
# slow enough for a progress line, whatever the machine
($rc, $out, $err) = $c->regent('rebuild', 'n2', '--rate', '20MB', '--wait');
is($rc, 0, 'rebuild n2 --wait') or diag("$out$err" . $c->regentd_log_tail);
like($out, qr/%/, 'progress in percent is shown') or diag($out);
$c->wait_node('n2', 'ok');
ok(!-e "$dir/PG_VERSION.lost-marker", 'the directory is the new one');
ok(!-d "$dir.regent-old", 'the old one is gone, now that the new one streams');
is($c->sql('n1', "SELECT active FROM pg_replication_slots WHERE slot_name = 'regent_n2'"), 't', 'it streams on its slot');
is($c->sql('n2', 'SHOW regent.node_name'), 'n2', 'with its own settings');
my $sum = $c->stop_load($load);
$c->wait_caught_up('n1', 'n2', 'n3');
is($c->missing_rows('n2', $sum->{ids}), 0, 'no acknowledged row is missing on it');

# asked for in SQL, on a standby
$c->stop_server('n3', 'immediate');
$c->wait_node('n3', 'dead');
my $id = $c->sql('n2', "SELECT regent.rebuild('n3')");
like($id, qr/^\d+$/, "SELECT regent.rebuild('n3') on a standby returns job $id");
$c->wait_node('n3', 'ok', 120);
wait_until(sub { $c->sql('n1', "SELECT state FROM regent.jobs() WHERE id = $id") eq 'done' }, 30, 'regent.jobs() to say done');
pass('regent.jobs() says done');
is($c->sql('n1', "SELECT regent.rebuild('n7')", may_fail => 1), undef, 'an unknown node is refused in SQL, too');

# interrupted: the source dies in the middle, then regentd; the old directory is untouched
$c->stop_server('n3');
$c->wait_node('n3', 'dead');
$dir = $c->node('n3')->{dir};
my $print = fingerprint('n3');
$c->sql('n1', 'CREATE TABLE big AS SELECT i, repeat(md5(i::text), 40) AS pad FROM generate_series(1, 200000) i', timeout => 120);
($rc, $out, $err) = $c->regent('rebuild', 'n3');
is($rc, 0, 'a rebuild is queued');
wait_until(sub { -d $c->node('n3')->{dir} . '.regent-new' }, 30, 'the copy to begin');
$c->kill9_regentd;
wait_until(sub { my @l = grep { /pg_basebackup|regent-copy/ && m{\Q$dir\E} } `ps -eo args`; !@l }, 60, 'the orphaned copy to end');
is(fingerprint('n3'), $print, 'regentd killed in the copy: the old directory is as it was');
$c->start_regentd;
$c->wait_node('n3', 'ok', 120);
pass('the restarted regentd went on with the job');
$c->wait_caught_up('n1', 'n3');
is($c->sql('n3', 'SELECT count(*) FROM big'), '200000', 'all rows are there');
ok((grep { $_->{event} eq 'rebuild_end' } $c->events), 'events tell');

sub fingerprint
{
	my ($name) = @_;
	my $d = $c->node($name)->{dir};
	return `cd '$d' && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum`;
}
done_testing();
