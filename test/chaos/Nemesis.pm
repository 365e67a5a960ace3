# Nemesis.pm
#    The catalogue: what may befall a cluster, as plans of timed acts.
#
# A row: name, class, what to expect, and the plan.  Expected:
#   failover  must: another node leads afterwards; never: nobody else does, and no
#             server was restarted by us (I6); may: either is right
#   loses     in async, commits of a primary that was lost may be missing
#   calm      service is not interrupted at all
#   restarts  the plan itself restarts the leader's server
#   halts     writes may stop for as long as the fault lasts, by design
# A plan is a list of [seconds, verb, arguments...] (Faults.pm); ['moved'] waits
# until another node acknowledges, and later times count from there.  Everything
# in a plan comes from the dice, the lease length and the durability, nothing from
# the clock.  Plans with orders of people are in OrderPlans.pm.
package Nemesis;

use strict;
use warnings;
use OrderPlans;

sub style { return $_[0]->pick('ip', 'all') }

# A cut of the leader from watchdog and standbys; now and then from the clients, too.
sub leader_alone { my ($r, $how) = @_; return [ 0, 'cut', 'L', $r->pick('cluster', 'everyone'), $how, style($r) ] }

my @rows = (
	# ---- killed ----
	{ name => 'kill_postmaster', class => 'crash', failover => 'must', loses => 1, plan => sub { ([ 0, 'kill', 'L', 'postmaster' ], ['moved']) } },
	{ name => 'kill_server', class => 'crash', failover => 'must', loses => 1, plan => sub { ([ 0, 'kill', 'L', 'server' ], ['moved']) } },
	{ name => 'kill_backend', class => 'restart', failover => 'never', plan => sub { ([ 0, 'kill', 'L', 'backend' ]) } },
	{ name => 'kill_worker', class => 'restart', failover => 'never', plan => sub { ([ 0, 'kill', 'L', 'worker' ]) } },
	{ name => 'restart_leader', class => 'restart', failover => 'never', restarts => 1,
		plan => sub { ([ 0, 'restart', 'L', 'fast' ]) } },
	# says nothing before it dies, as one that crashed
	{ name => 'restart_leader_at_once', class => 'crash', failover => 'may', loses => 1, plan => sub { ([ 0, 'restart', 'L', 'immediate' ]) } },
	{ name => 'kill_standby', class => 'standby', failover => 'never', calm => 1,
		plan => sub { my ($r) = @_; ([ 0, 'kill', 'A', $r->pick('postmaster', 'server') ]) } },
	{ name => 'kill_regentd', class => 'watchdog', failover => 'never', calm => 1,
		plan => sub { my ($r, $l) = @_; my $t = $r->between(0.1, 3 * $l); ([ 0, 'kill', 'w', 'regentd', $t ], [ $t + 1, 'kill', 'w', 'regentd', 0.2 ]) } },
	{ name => 'flap_regentd', class => 'watchdog', failover => 'never', calm => 1,
		plan => sub { my ($r) = @_; my $t = 0; map { $t += $r->between(0.1, 1.5); [ $t, 'kill', 'w', 'regentd', 0.1 ] } 1 .. 5 } },
	{ name => 'kill_clients', class => 'clients', failover => 'never', calm => 1,
		plan => sub { my ($r) = @_; my $t = 0; map { $t += $r->between(0.2, 1); [ $t, 'kill', 'c', 'load' ] } 1 .. 3 } },

	# ---- frozen ----
	{ name => 'freeze_host', class => 'host_lost', failover => 'must', loses => 1,
		plan => sub { my ($r) = @_; ([ 0, 'freeze', 'L', 'host' ], ['moved'], [ $r->between(0, 3), 'wake', 'L' ]) } },
	{ name => 'pause_host', class => 'host_lost', failover => 'must', loses => 1,
		plan => sub { my ($r) = @_; ([ 0, 'cut', 'L', 'everyone', 'both', style($r) ], [ 0, 'freeze', 'L', 'host' ], ['moved'],
			[ $r->between(0, 2), 'heal' ], [ 2, 'wake', 'L' ]) } },
	{ name => 'freeze_in_commit', class => 'host_lost', failover => 'must', loses => 1,
		plan => sub { my ($r, $l) = @_; my $s = style($r); ([ 0, 'cut', 'L', 'A', 'both', $s ], [ 0, 'cut', 'L', 'B', 'both', $s ], [ $l * $r->between(0.05, 0.4), 'freeze', 'L', 'host' ],
			['moved'], [ 0, 'cut', 'L', 'w', 'both', $s ], [ $r->between(0, 0.5), 'wake', 'L' ], [ 2, 'heal' ]) } },
	{ name => 'wake_in_failover', class => 'freeze', failover => 'may', loses => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'freeze', 'L', 'host' ], [ $l * $r->between(0.5, 1.8), 'wake', 'L' ]) } },
	{ name => 'freeze_postmaster', class => 'hung', failover => 'must', loses => 1, plan => sub { ([ 0, 'freeze', 'L', 'postmaster' ], ['moved']) } },
	{ name => 'freeze_server', class => 'hung', failover => 'must', loses => 1,
		plan => sub { my ($r) = @_; ([ 0, 'freeze', 'L', 'server' ], ['moved'], [ $r->between(0, 2), 'wake', 'L' ]) } },
	{ name => 'freeze_worker', class => 'freeze', failover => 'may', loses => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'freeze', $r->pick('L', 'A'), 'worker' ], [ $l * $r->between(0.2, 3), 'wake', 'L' ], [ $l * 3, 'wake', 'A' ]) } },
	{ name => 'freeze_backend', class => 'freeze', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'freeze', 'L', 'backend' ], [ $l * $r->between(0.2, 2), 'wake', 'L' ]) } },
	{ name => 'freeze_regentd', class => 'watchdog', failover => 'never', calm => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'freeze', 'w', $r->pick('regentd', 'host') ], [ $l * $r->between(0.3, 4), 'wake', 'w' ]) } },
	{ name => 'freeze_standby', class => 'standby', failover => 'never', calm => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'freeze', 'A', $r->pick('host', 'postmaster', 'walreceiver') ], [ $l * $r->between(0.3, 3), 'wake', 'A' ]) } },

	# ---- cut off ----
	{ name => 'cut_off_leader', class => 'host_lost', failover => 'must', loses => 1,
		plan => sub { my ($r) = @_; (leader_alone($r, 'both'), ['moved'], [ $r->between(0, 4), 'heal' ]) } },
	{ name => 'cut_off_leader_one_way', class => 'host_lost', failover => 'must', loses => 1,
		plan => sub { my ($r) = @_; (leader_alone($r, $r->pick('in', 'out')), ['moved'], [ $r->between(0, 4), 'heal' ]) } },
	{ name => 'cut_off_leader_shortly', class => 'cut', failover => 'may', loses => 1,
		plan => sub { my ($r, $l) = @_; (leader_alone($r, $r->pick('both', 'in', 'out')), [ $l * $r->between(0.2, 1.6), 'heal' ]) } },
	{ name => 'cut_off_and_stop', class => 'host_lost', failover => 'must', loses => 1,
		plan => sub { my ($r, $l) = @_; (leader_alone($r, 'both'), [ $l * $r->between(0.05, 1.2), 'stop', 'L', $r->pick('smart', 'fast', 'immediate') ], ['moved'],
			[ $r->between(0, 3), 'heal' ]) } },
	{ name => 'cut_off_and_cancel', class => 'host_lost', failover => 'must', loses => 1,
		plan => sub { my ($r, $l) = @_; my $t = $r->between(0.05, 0.5); (leader_alone($r, 'both'), [ $t, 'unsync', 'L' ], [ $t, 'cancel', 'L' ],
			[ $l, 'cancel', 'L' ], ['moved'], [ $r->between(0, 3), 'heal' ]) } },
	{ name => 'cut_watchdog_from_leader', class => 'watchdog', failover => 'never', calm => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'cut', 'w', 'L', $r->pick('both', 'in', 'out'), style($r) ], [ $l * $r->between(0.5, 4), 'heal' ]) } },
	{ name => 'cut_watchdog', class => 'watchdog', failover => 'never', calm => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'cut', 'w', 'cluster', $r->pick('both', 'in', 'out'), style($r) ], [ $l * $r->between(0.5, 4), 'heal' ]) } },
	{ name => 'cut_standby', class => 'standby', failover => 'never', calm => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'cut', 'A', $r->pick('L', 'w', 'B', 'cluster'), $r->pick('both', 'in', 'out'), style($r) ],
			[ $l * $r->between(0.5, 3), 'heal' ]) } },
	{ name => 'cut_both_standbys', class => 'standby', failover => 'never', halts => 1,
		plan => sub { my ($r, $l) = @_; my $s = style($r); ([ 0, 'cut', 'A', 'L', 'both', $s ], [ 0, 'cut', 'B', 'L', 'both', $s ], [ $l * $r->between(0.5, 3), 'heal' ]) } },
	{ name => 'loss', class => 'network', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'loss', $r->pick('L', 'L', 'A', 'w'), 10 + $r->below(35) ], [ 2 + $l * $r->between(0.5, 3), 'heal' ]) } },
	{ name => 'delay', class => 'network', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'delay', $r->pick('L', 'A', 'w'), $r->below(300), $r->below(300) ], [ 2 + $l * $r->between(0.5, 3), 'heal' ]) } },
	{ name => 'flap_link', class => 'network', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r, $l) = @_; my ($t, $to) = (0, $r->pick('w', 'cluster', 'everyone'));
			map { my $at = $t; $t += $r->between(0.2, 0.7 * $l); my $end = $t; $t += $r->between(0.1, 0.5 * $l);
				([ $at, 'cut', 'L', $to, $r->pick('both', 'in', 'out'), style($r) ], [ $end, 'heal' ]) } 1 .. 4 } },

	# ---- power ----
	{ name => 'power_leader', class => 'host_lost', failover => 'must', loses => 1,
		plan => sub { my ($r) = @_; ([ 0, 'off', 'L' ], ['moved'], [ $r->between(0, 3), 'on', 'L', $r->below(2) ]) } },
	{ name => 'power_blink', class => 'freeze', failover => 'may', loses => 1,
		plan => sub { my ($r) = @_; ([ 0, 'off', 'L' ], [ $r->between(0.3, 3), 'on', 'L', $r->below(2) ]) } },
	{ name => 'power_standby', class => 'standby', failover => 'never', calm => 1,
		plan => sub { my ($r) = @_; ([ 0, 'off', 'A' ], [ $r->between(0.5, 5), 'on', 'A', $r->below(2) ]) } },
	{ name => 'power_watchdog', class => 'watchdog', failover => 'never', calm => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'off', 'w' ], [ $r->between(0.5, 3 * $l), 'on', 'w' ]) } },
	{ name => 'power_all', class => 'power_all', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r) = @_; my @off = ('L', 'A', 'B', $r->pick([], ['w'])); my @all = map { ref $_ ? @$_ : $_ } @off; my $t = $r->between(0.5, 2);
			((map { [ $r->between(0, 0.3), 'off', $_ ] } @all), (map { $t += $r->between(0, 3); [ $t, 'on', $_, $r->below(3) > 0 ? 1 : 0 ] } $r->shuffle(@all))) } },
	{ name => 'power_leader_and_standby', class => 'power_all', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r) = @_; my $t = $r->between(1, 4); ([ 0, 'off', 'L' ], [ $r->between(0, 0.5), 'off', 'A' ],
			[ $t, 'on', 'A', $r->below(2) ], [ $t + $r->between(1, 6), 'on', 'L', $r->below(2) ]) } },

	# ---- at once ----
	{ name => 'cut_and_kill', class => 'host_lost', failover => 'must', loses => 1,
		plan => sub { my ($r) = @_; ([ 0, 'cut', 'L', $r->pick('w', 'cluster'), 'both', style($r) ], [ $r->between(0, 0.2), 'kill', 'L', $r->pick('postmaster', 'server') ],
			['moved'], [ $r->between(0, 2), 'heal' ]) } },
	{ name => 'kill_leader_and_regentd', class => 'crash', failover => 'must', loses => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'kill', 'L', 'server' ], [ $r->between(0, 0.6), 'kill', 'w', 'regentd', $r->between(0.1, $l) ], ['moved']) } },
	{ name => 'regentd_dies_in_failover', class => 'crash', failover => 'must', loses => 1,
		plan => sub { my ($r) = @_; my $t = 0; ([ 0, 'kill', 'L', 'server' ], (map { $t += $r->between(0.05, 0.9); [ $t, 'kill', 'w', 'regentd', 0.1 ] } 1 .. 3), ['moved']) } },
	{ name => 'kill_leader_and_standby', class => 'crash', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r) = @_; ([ 0, 'kill', 'L', 'server' ], [ $r->between(0, 0.5), $r->pick([ 'off', 'A' ], [ 'kill', 'A', 'server' ], [ 'freeze', 'A', 'host' ]) ],
			[ $r->between(2, 5), 'wake', 'A' ], [ 5, 'on', 'A', 1 ]) } },
	{ name => 'restart_by_hand', class => 'crash', failover => 'may', loses => 1,
		plan => sub { my ($r) = @_; my $t = 0; ([ 0, 'kill', 'L', 'server' ], map { $t += $r->between(0.02, 0.5); [ $t, 'start', 'L' ] } 1 .. 5) } },
	{ name => 'stale_boot', class => 'host_lost', failover => 'must', loses => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'off', 'L' ], ['moved'], [ 0.1, 'cut', 'L', $r->pick('cluster', 'everyone', 'w'), 'both', style($r) ],
			[ 0.2, 'on', 'L', 1 ], [ 2, 'start', 'L' ], [ 3 + $l * $r->between(0.5, 1.5), 'heal' ]) } },
	{ name => 'isolated_and_kill', class => 'watchdog_too', failover => 'must', loses => 1, halts => 1,
		plan => sub { my ($r, $l) = @_; ([ 0, 'cut', 'w', 'cluster', 'both', style($r) ], [ $r->between(0, $l), 'kill', 'L', 'server' ], [ $l * $r->between(1, 2), 'heal' ], ['moved']) } },
	{ name => 'flap_kill', class => 'crash', failover => 'may', loses => 1,
		plan => sub { my ($r) = @_; ([ 0, 'kill', 'N', 'server' ], ['moved'], [ $r->between(0.3, 3), 'kill', 'N', 'server' ], [ 5, 'kill', 'N', 'postmaster' ], [ 8, 'kill', 'N', 'backend' ]) } },

	# ---- disks ----
	{ name => 'disk_full_leader', class => 'disk', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r) = @_; ([ 0, 'fill', 'L', $r->below(2000) ], [ 0.3, 'walswitch', 'L' ], [ $r->between(3, 8), 'free', 'L' ]) } },
	# below regent.disk_reserve, above what PostgreSQL dies of: the lead is given away
	{ name => 'disk_stays_full', class => 'disk', failover => 'must', loses => 1, halts => 1,
		plan => sub { my ($r) = @_; ([ 0, 'fill', 'L', 18000 + $r->below(10000) ], ['moved'], [ 2, 'free', 'L' ]) } },
	{ name => 'disk_full_standby', class => 'disk', failover => 'never',
		plan => sub { my ($r) = @_; ([ 0, 'fill', 'A', $r->below(500) ], [ 0.3, 'walswitch', 'L' ], [ $r->between(3, 8), 'free', 'A' ]) } },

	# ---- switchovers ----
	{ name => 'switchover', class => 'switchover', failover => 'must', plan => sub { ([ 0, 'switchover', 'A' ], ['moved']) } },
	{ name => 'switchover_leader_dies', class => 'switchover_broken', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r) = @_; ([ 0, 'switchover', 'A' ], [ $r->between(0, 1.2), $r->pick([ 'kill', 'L', 'server' ], [ 'off', 'L' ], [ 'freeze', 'L', 'host' ]) ],
			[ 6, 'wake', 'L' ], [ 6, 'on', 'L', 1 ]) } },
	{ name => 'switchover_target_dies', class => 'switchover_broken', failover => 'may', loses => 1, halts => 1,
		plan => sub { my ($r) = @_; ([ 0, 'switchover', 'A' ], [ $r->between(0, 1.2), $r->pick([ 'kill', 'A', 'server' ], [ 'off', 'A' ], [ 'freeze', 'A', 'host' ]) ],
			[ 6, 'wake', 'A' ], [ 6, 'on', 'A', 1 ]) } },
	{ name => 'switchover_regentd_dies', class => 'switchover_broken', failover => 'may', halts => 1,
		plan => sub { my ($r) = @_; ([ 0, 'switchover', 'A' ], [ $r->between(0, 1.2), 'kill', 'w', 'regentd', $r->between(0.1, 2) ]) } },
);

push @rows, @OrderPlans::rows;
my %by_name = map { $_->{name} => $_ } @rows;

# What `make check` runs: each way in which a primary is lost, those that must change nothing, and
# orders of each kind.
our @fixed = (
	[ async => 'kill_server' ], [ async => 'cut_off_leader' ], [ async => 'freeze_regentd' ], [ async => 'stale_boot' ],
	[ async => 'changed_and_lose_leader' ], [ async => 'rewind_and_lose_leader' ],
	[ sync => 'switchover' ], [ sync => 'pause_host' ], [ sync => 'kill_leader_and_regentd' ], [ sync => 'power_all' ],
	[ sync => 'exchange_nodes' ], [ sync => 'rebuild_and_cancel' ],
);

sub names { return map { $_->{name} } @rows }

sub waits { my ($act) = @_; return $act->[0] eq 'moved' || $act->[0] eq 'until' }

# The plan of one nemesis: a copy of its row with {acts}.
sub make
{
	my ($name, $rng, $lease, $durability) = @_;
	my $row = $by_name{$name} or die "there is no nemesis $name\n";
	my @acts = map { [ map { ref $_ ? @$_ : $_ } @$_ ] } $row->{plan}->($rng, $lease, $durability);
	# ['moved'] and ['until', …] split a plan into parts with times of their own
	my @parts = ([]);
	for my $act (@acts)
	{
		push @{ $parts[-1] }, $act;
		push @parts, [] if waits($act);
	}
	@$_ = ((sort { $a->[0] <=> $b->[0] } grep { !waits($_) } @$_), grep { waits($_) } @$_) for @parts;
	@acts = map { @$_ } @parts;
	return { %$row, acts => \@acts } unless $row->{strict_waits} && $durability eq 'strict';
	return { %$row, failover => 'may', halts => 1, acts => [ map { $_->[0] eq 'moved' ? [ 'until', 'led' ] : $_ } @acts ] };
}

# The acts of a plan without waiting: what comes after ['moved'] comes two leases later, after ['until'] one.
sub flat
{
	my ($nemesis, $lease, $offset) = @_;
	my @acts;
	for my $act (@{ $nemesis->{acts} })
	{
		if (waits($act))
		{
			$offset += $lease * ($act->[0] eq 'moved' ? 2 : 1);
			next;
		}
		push @acts, [ $act->[0] + $offset, @$act[ 1 .. $#$act ] ];
	}
	return @acts;
}

# Two at once: only what both promise is promised.
sub combine
{
	my ($x, $y, $lease, $offset) = @_;
	my @acts = sort { $a->[0] <=> $b->[0] } flat($x, $lease, 0), flat($y, $lease, $offset);
	return { name => "$x->{name}+$y->{name}", class => 'combined', failover => 'may', loses => 1, halts => 1, grows => $x->{grows} || $y->{grows}, acts => \@acts };
}

# The nemesis of a round, out of seed and number alone: each once in a while, every third round two.
sub choose
{
	my ($seed, $round, $lease, $durability) = @_;
	my @all = names();
	my $deck = int(($round - 1) / @all);
	my $rng = Rng->new("chaos/$seed/$round");
	my @order = Rng->new("chaos/$seed/deck/$deck")->shuffle(@all);
	my $first = make($order[ ($round - 1) % @all ], $rng, $lease, $durability);
	return $first if $round % 3;
	my $second = make($rng->pick(grep { !/switchover|power_all|node|rebuild|rewind/ } @all), $rng, $lease, $durability);
	return combine($first, $second, $lease, $rng->between(0, 2));
}

1;
