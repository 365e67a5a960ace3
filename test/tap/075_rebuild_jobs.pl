# Rebuild as a job: two in a queue, progress, cancelled in the middle of a copy that
# is held back by a rate, regentd killed in the middle, a delta from a standby.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew);
use JSON::PP;
use Test::More;

my $c = RegentCluster->new(nodes => 3);
$c->up;
$c->sql('n1', 'CREATE TABLE t AS SELECT i, repeat(md5(i::text), 40) AS pad FROM generate_series(1, 40000) i', timeout => 120);
$c->wait_caught_up('n1', 'n2', 'n3');
$c->stop_server('n2');
$c->stop_server('n3');
$c->wait_node($_, 'dead') for qw(n2 n3);

sub job
{
	my ($node) = @_;
	my ($rc, $out) = $c->regent('--json', 'jobs');
	my @jobs = grep { $_->{node} eq $node && $_->{kind} eq 'rebuild' } @{ decode_json($out)->{jobs} };
	return (sort { $b->{id} <=> $a->{id} } @jobs)[0];
}

sub fingerprint
{
	my ($name) = @_;
	my $d = $c->node($name)->{dir};
	return `cd '$d' && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum`;
}

# one at a time from one source, the other one waits and says for whom
my $before = fingerprint('n2');
my ($rc, $out, $err) = $c->regent('rebuild', 'n2', '--method', 'copy', '--rate', '1MB');
is($rc, 0, 'a copy of n2 at 1 MB a second is queued') or diag("$out$err");
($rc, $out, $err) = $c->regent('rebuild', 'n3', '--method', 'copy');
is($rc, 0, 'and one of n3') or diag("$out$err");
wait_until(sub { job('n2')->{bytes} > 0 }, 60, 'the copy of n2 to be under way');
like(job('n3')->{message}, qr/waits for the rebuild of n2/, 'n3 waits, and for whom is said');
wait_until(sub { my $j = job('n2'); $j->{total} > 0 && $j->{percent} > 0 && $j->{rate} > 0 }, 60, 'percent and rate');
($rc, $out, $err) = $c->regent('jobs');
like($out, qr/n2 .*running, copy.*%.*\/s/, 'regent jobs shows percent and rate');
like($out, qr/n3 .*queued/, 'and what waits');

# regentd dies in the middle: the restarted one goes on with both
$c->kill9_regentd;
$c->start_regentd;
wait_until(sub { my $j = job('n2'); $j && $j->{state} eq 'running' && $j->{phase} eq 'copy' && $j->{bytes} > 0 }, 90,
	'the restarted regentd to copy again');
pass('regentd killed in the middle: the restarted one copies again');
is(fingerprint('n2'), $before, 'the old directory is as it was');

# cancelled in the middle: nothing is left but the old directory
($rc, $out, $err) = $c->regent('cancel', job('n2')->{id});
is($rc, 0, 'cancelled') or diag("$out$err");
wait_until(sub { job('n2')->{state} eq 'cancelled' }, 60, 'the job to be cancelled');
ok(!-e $c->node('n2')->{dir} . '.regent-new', 'what was copied is gone');
is(fingerprint('n2'), $before, 'the old directory is as it was');
ok((grep { $_->{event} eq 'rebuild_cancelled' } $c->events), 'and an event tells');
($rc, $out, $err) = $c->regent('cancel', job('n2')->{id});
is($rc, 1, 'not twice');
like($err, qr/cancelled already/, 'and why is said');

# now it is the other one's turn
$c->wait_node('n3', 'ok', 120);
pass('the next one had its turn');

# what differs only, and from a standby
($rc, $out, $err) = $c->regent('rebuild', 'n2', '--method', 'delta', '--from', 'n3', '--wait');
is($rc, 0, 'rebuild n2 --method delta --from n3 --wait') or diag("$out$err" . $c->regentd_log_tail);
like($out, qr/n2 streams from n1, by delta/, 'the end says how');
$c->wait_node('n2', 'ok');
$c->wait_caught_up('n1', 'n2', 'n3');
is($c->sql('n2', 'SELECT count(*) FROM t'), '40000', 'all rows are there');
is($c->sql('n1', "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'n2'"), '1', 'it streams from the leader');

# refusals
($rc, $out, $err) = $c->regent('rebuild', 'n2', '--method', 'rewind', '--force');
like($out . $err, qr/can't be rewound: .*(not diverged|timeline)/, 'no rewind of what has not diverged');
($rc, $out, $err) = $c->regent('rebuild', 'n2', '--method', 'rsync');
is($rc, 2, 'an unknown method is a usage error');
done_testing();
