# switchover.pl
#    The gap of a switchover as a client sees it, under a pgbench load, and that
#    no acknowledged row is lost.  Three nodes; each round hands the lead over.
use strict;
use warnings;
use Getopt::Long;
use JSON::PP;
use RegentCluster qw(wait_until);
use Time::HiRes qw(time sleep);

$| = 1;
my ($rounds, $clients) = (20, 4);
GetOptions('rounds=i' => \$rounds, 'clients=i' => \$clients) or exit 2;
my $json = JSON::PP->new->canonical;
chomp(my $bin = qx($ENV{PG_CONFIG} --bindir));

sub median { my @s = sort { $a <=> $b } @_; return @s % 2 ? $s[ $#s / 2 ] : ($s[ @s / 2 - 1 ] + $s[ @s / 2 ]) / 2 }

my $c = RegentCluster->new(nodes => 3);
$c->up;
RegentCluster::must([ "$bin/pgbench", '-i', '-q', '-s', 5, $c->conninfo('n1') ]);

my (@gaps, $lost);
for my $round (1 .. $rounds)
{
	my $from = $c->status->{leader};
	my $bench = $c->spawn([ "$bin/pgbench", '-n', '-c', $clients, '-j', 1, '-T', 60, $c->conninfo($from) ], $c->dir . '/pgbench.log');
	my $load = $c->start_load(primary => $from, args => [ '--until-move', 100, '--seconds', 30, '--deadline-ms', 2000 ]);
	sleep(1 + rand(0.5));    # a load to switch under, not a wait for anything
	my ($rc, $out, $err) = $c->regent('switchover');
	die "switchover failed: $out$err" if $rc != 0;
	RegentCluster::reap($load->{pid}, 40);
	RegentCluster::reap($bench, 40);
	my $sum = $c->stop_load($load);
	my $s = $c->wait_status(sub { $_[0]{leader} ne $from && !grep { $_->{state} ne 'ok' } @{ $_[0]{nodes} } }, 120, 'all nodes to be ok');
	my $missing = $c->missing_rows($s->{leader}, $sum->{ids});
	$lost += $missing;
	push @gaps, $sum->{outage_ms};
	print $json->encode({ scenario => 'switchover', round => $round, from => $from, to => $s->{leader}, gap_ms => $sum->{outage_ms},
			acked => scalar @{ $sum->{ids} }, lost => $missing }), "\n";
	$c->sql($s->{leader}, 'TRUNCATE regent_load');
	$c->wait_ready;
}
my @sorted = sort { $a <=> $b } @gaps;
printf "\nswitchover under pgbench (%d clients), %d rounds: median %.0f ms, worst %.0f ms, lost %d\n", $clients, $rounds, median(@gaps), $sorted[-1], $lost;
$c->finish;
exit($lost ? 1 : 0);
